"""How adapters get into a model, and out of it: modules are swapped, names stay."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from groundup.adapters.linear import DoRALinear, LoRALinear
from groundup.base.errors import UsageError, quoted
from groundup.config import GPTConfig, Parameter, parameter_shapes, part_of
from groundup.config.adaptation import DORA, LORA, is_adapted
from groundup.model import GPT

LAYERS: dict[str, type[LoRALinear]] = {LORA: LoRALinear, DORA: DoRALinear}


def attach(model: GPT, method: str, rank: int, alpha: float, seed: int) -> None:
    """Give every matrix of the blocks an adapter, in place; all else of the model is frozen.

    `method` is "lora" or "dora"; `seed` determines where the adapters start. At first the model
    computes what it did before. Raises `UsageError` for another method, a rank below 1, and a model
    that has adapters or quantised weights.
    """
    if method not in LAYERS:
        raise UsageError(f"method = {quoted(method)}: expected one of {', '.join(LAYERS)}")
    if rank < 1 or not alpha > 0:
        raise UsageError(f"rank = {rank}, alpha = {alpha}: expected 1 or more, and above 0")
    if any(isinstance(module, LoRALinear) for module in model.modules()):
        raise UsageError("the model has adapters already; merge(model) makes them part of it")
    if any(hasattr(module, "n_quantized") for module in model.modules()):
        raise UsageError(
            "the model's weights are quantised, which adapters are not made for; take the model "
            "that it was made from"
        )
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, linear in list(_targets(model)):
        model.set_submodule(name, LAYERS[method](linear, rank, alpha, generator))


@torch.no_grad()
def merge(model: GPT) -> None:
    """Make the adapters part of the matrices beside them, in place: all are plain layers again.

    In fp32, so the model computes what it did, but for rounding. One without adapters stays as it
    is. A merged weight requires a gradient if the one beside the adapter did.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, LoRALinear):
            kind, learns = module.weight.dtype, module.weight.requires_grad
            plain = module.float().merged().to(kind)
            plain.weight.requires_grad_(learns)
            model.set_submodule(name, plain)


def check_target(config: GPTConfig, name: str) -> None:
    """Refuse a module of a model, by its name, that adapters are not made for, with the reason.

    Raises `UsageError` for embeddings, the output head, routers, and what the model does not have.
    """
    if name in ("token_embedding", "lm_head") and config.tie_embeddings:
        raise UsageError(
            f"{name}: the output head of this model is its token embedding (tie_embeddings), so "
            "that an adapter of the one would change the other, too; adapt the matrices in blocks"
        )
    if name == "lm_head":
        raise UsageError(
            f"{name}: the loss reads the head's own matrix, past any adapter; adapt the matrices "
            "in blocks"
        )
    if f"{name}.weight" not in {p.name for p in filter(is_adapted, parameter_shapes(config))}:
        raise UsageError(f"{name}: no matrix of a block, which alone are adapted")


def _targets(model: GPT) -> Iterator[tuple[str, nn.Linear]]:
    """Yield the layers that are adapted, by name."""
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        weight = f"{name}.weight"
        if is_adapted(Parameter(weight, tuple(module.weight.shape), part_of(weight))):
            yield name, module
