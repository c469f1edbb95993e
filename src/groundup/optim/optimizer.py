"""What moves the parameters: Muon for the matrices in blocks and AdamW for the rest, or AdamW.

The rules are functions over lists of tensors, torch's own fused kernel among them. What holds them
is a class of ours: torch's `Optimizer` imports the compiler, which takes as long as torch itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from groundup.adapters import LoRALinear
from groundup.config import TrainConfig
from groundup.optim.muon import muon
from groundup.optim.schedule import learning_rate
from groundup.processes.alone import ALONE, Alone

Group = dict[str, Any]
"""Parameters that move by one rule: `params`, `lr`, `weight_decay` and the rule's own settings."""


class Optimizer:
    """Groups of parameters, each with its rule, and what is remembered of each parameter.

    `step` divides the gradients by the tensor `grad_scale`, where it is set.
    """

    def __init__(self, groups: list[Group], world: Alone = ALONE) -> None:
        self.param_groups = groups
        self.world = world
        self.state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        self.grad_scale: Tensor | None = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            if moving := [p for p in group["params"] if p.grad is not None]:
                RULES[group["rule"]](moving, group, self)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def gradients(self, parameters: list[Tensor]) -> list[Tensor]:
        """Return this process's part of each parameter's gradient."""
        return [self.world.local(p.grad) for p in parameters if p.grad is not None]


def _adamw(parameters: list[Tensor], group: Group, optimizer: Optimizer) -> None:
    """AdamW (Loshchilov and Hutter, 2017), all parameters in one fused kernel."""
    own = [optimizer.world.local(parameter) for parameter in parameters]
    for parameter, values in zip(parameters, own, strict=True):
        if not (state := optimizer.state[parameter]):
            state["step"] = torch.zeros((), device=values.device)
            state["exp_avg"] = torch.zeros_like(values)
            state["exp_avg_sq"] = torch.zeros_like(values)
    kept = [optimizer.state[parameter] for parameter in parameters]
    beta1, beta2 = group["betas"]
    adamw(
        own,
        optimizer.gradients(parameters),
        [state["exp_avg"] for state in kept],
        [state["exp_avg_sq"] for state in kept],
        [],
        [state["step"] for state in kept],
        fused=True,
        grad_scale=optimizer.grad_scale,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=1e-8,
        maximize=False,
    )


def _muon(parameters: list[Tensor], group: Group, optimizer: Optimizer) -> None:
    own = [optimizer.world.local(parameter) for parameter in parameters]
    for parameter, values in zip(parameters, own, strict=True):
        if not (state := optimizer.state[parameter]):
            state["momentum"] = torch.zeros_like(values)
    muon(
        own,
        optimizer.gradients(parameters),
        [optimizer.state[p]["momentum"] for p in parameters],
        grad_scale=optimizer.grad_scale,
        world=optimizer.world,
        like=parameters,
        **{key: group[key] for key in ("lr", "momentum", "weight_decay", "dtype")},
    )


RULES: dict[str, Callable[[list[Tensor], Group, Optimizer], None]] = {
    "adamw": _adamw,
    "muon": _muon,
}


def build_optimizer(model: nn.Module, config: TrainConfig, world: Alone = ALONE) -> Optimizer:
    """Return what moves the parameters of `model` that require a gradient, as `config` says.

    Matrices and embeddings decay, biases and norms do not. Adapters are moved by AdamW, and do not
    decay: as `peft` has it by default, of which the base is the rest.
    """
    thin = _adapters(model)
    inner = _inner_matrices(model, thin) if config.optimizer == "muon" else []
    taken = set(inner)
    others = [p for p in model.parameters() if p.requires_grad and p not in taken]
    adamw_rule = {"rule": "adamw", "lr": 0.0, "betas": (config.beta1, config.beta2)}
    muon_rule = {
        "rule": "muon",
        "lr": 0.0,
        "momentum": config.muon_momentum,
        "dtype": torch.bfloat16 if config.muon_precision == "bf16" else torch.float32,
    }
    decay = config.weight_decay

    def decays(parameter: nn.Parameter) -> bool:
        return parameter.dim() >= 2 and parameter not in thin

    groups: list[Group] = [
        {**adamw_rule, "params": [p for p in others if decays(p)], "weight_decay": decay},
        {**adamw_rule, "params": [p for p in others if not decays(p)], "weight_decay": 0.0},
        {**muon_rule, "params": inner, "weight_decay": decay},
    ]
    return Optimizer([group for group in groups if group["params"]], world)


def _adapters(model: nn.Module) -> set[nn.Parameter]:
    """Return the parameters of adapters."""
    layers = [module for module in model.modules() if isinstance(module, LoRALinear)]
    return {p for layer in layers for p in layer.parameters() if p.requires_grad}


def _inner_matrices(model: nn.Module, adapters: set[nn.Parameter]) -> list[nn.Parameter]:
    """Return the matrices inside blocks, which map vectors to vectors; embeddings do not."""
    blocks = [block for module in model.modules() for block in getattr(module, "blocks", ())]
    inner = (p for block in blocks for p in block.parameters())
    wanted = (p for p in dict.fromkeys(inner) if p.requires_grad and p.dim() >= 2)
    return [p for p in wanted if p not in adapters]


def set_learning_rate(
    optimizer: Optimizer, step: float, config: TrainConfig, scale: float = 1.0
) -> None:
    """Set the learning rates of `step` (from 0): Muon's follows the same schedule as AdamW's."""
    assert config.learning_rate is not None, "`choose` has set it"
    rate = learning_rate(step, config) * scale
    rates = {"adamw": rate, "muon": rate * config.peak_muon_learning_rate / config.learning_rate}
    for group in optimizer.param_groups:
        group["lr"] = rates[group["rule"]]
