"""Adapters and matrices as named tensors: merged before there is a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from groundup.adapters.linear import dora_weight, lora_weight
from groundup.config.adaptation import LORA_A, LORA_B, MAGNITUDE


def adapted_names(names: Iterable[str]) -> list[str]:
    """Return what the adapters among these tensors belong to: `blocks.0.attn.query`."""
    end = f".{LORA_B}"
    return [name.removesuffix(end) for name in names if name.endswith(end)]


def merged_tensors(
    tensors: Mapping[str, Tensor], adapters: Mapping[str, Tensor], scale: float
) -> dict[str, Tensor]:
    """Return the matrices that adapters make of those in `tensors`, by their names, in fp32.

    `scale` is alpha / rank. An adapter with a magnitude is DoRA's, one without is LoRA's.
    """
    merged = {}
    for name in adapted_names(adapters):
        weight = tensors[f"{name}.weight"].float()
        a, b = (adapters[f"{name}.{part}"].float() for part in (LORA_A, LORA_B))
        magnitude = adapters.get(f"{name}.{MAGNITUDE}")
        if magnitude is None:
            merged[f"{name}.weight"] = lora_weight(weight, a, b, scale)
        else:
            merged[f"{name}.weight"] = dora_weight(weight, a, b, scale, magnitude.float())
    return merged
