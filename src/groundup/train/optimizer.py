"""What moves the parameters: Muon for the matrices in blocks and AdamW for the rest, or AdamW."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from groundup.base.errors import RunError
from groundup.config import TrainConfig
from groundup.train.muon import Muon
from groundup.train.schedule import learning_rate


class Both(torch.optim.Optimizer):
    """Two optimizers, each for some of a model's parameters, that pass for one."""

    grad_scale: Tensor | None = None

    def __init__(self, *parts: torch.optim.AdamW | Muon) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        for part in parts:
            part.state = self.state

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Let each move its own, from gradients divided by the tensor `grad_scale` if it is set."""
        assert closure is None, "the loss is computed before"
        for part in self.parts:
            part.grad_scale = self.grad_scale  # type: ignore[union-attr]
            part.step()


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter, 2017), or beside it Muon for the matrices in blocks.

    Matrices and embeddings decay, biases and norms do not. AdamW runs as one fused kernel.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    inner = _inner_matrices(model) if config.optimizer == "muon" else []
    others = [p for p in parameters if all(p is not matrix for matrix in inner)]
    groups = [
        {"params": [p for p in others if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.dim() < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=(config.beta1, config.beta2),
        fused=True,
    )
    if not inner:
        return adamw
    muon = Muon(
        inner,
        weight_decay=config.weight_decay,
        momentum=config.muon_momentum,
        dtype=torch.bfloat16 if config.precision == "bf16" else torch.float32,
    )
    return Both(adamw, muon)


def _inner_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the matrices inside blocks, which map vectors to vectors; embeddings do not."""
    blocks = getattr(model, "blocks", nn.ModuleList())
    return [p for p in blocks.parameters() if p.requires_grad and p.dim() >= 2]


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, config: TrainConfig) -> None:
    """Set the learning rates of `step` (from 0): Muon's follows the same schedule as AdamW's."""
    rate = learning_rate(step, config)
    assert config.learning_rate is not None, "`choose` has set it"
    muon_rate = rate * config.peak_muon_learning_rate / config.learning_rate
    for group in optimizer.param_groups:
        group["lr"] = muon_rate if "momentum" in group else rate


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
