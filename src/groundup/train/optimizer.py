"""AdamW (Loshchilov and Hutter, 2017), with weight decay where it belongs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groundup.base.errors import RunError
from groundup.config import TrainConfig


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW in one fused kernel: matrices and embeddings decay, biases and norms do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=(config.beta1, config.beta2),
        fused=True,
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Return the optimizer's memory as tensors named `PARAMETER:FIELD`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}:{field}": value
        for parameter, state in optimizer.state.items()
        for field, value in state.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: dict[str, Tensor]
) -> None:
    """Give the optimizer back the memory that `optimizer_tensors` returned."""
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        name, _, field = key.rpartition(":")
        if name not in parameters:
            raise RunError(f"trainer.safetensors: '{key}' belongs to no parameter of this model")
        parameter = parameters[name]
        # The step count is a scalar that the fused kernel expects beside its parameter.
        restored = value.clone().to(parameter.device)
        optimizer.state[parameter][field] = restored
