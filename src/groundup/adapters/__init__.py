"""Thin matrices beside a model's own, which alone learn: LoRA and DoRA, attached and merged."""

from groundup.adapters.attach import attach, check_target, merge
from groundup.adapters.linear import DoRALinear, LoRALinear
from groundup.adapters.tensors import merged_tensors
from groundup.config.adaptation import adapter_shapes

__all__ = [
    "DoRALinear",
    "LoRALinear",
    "adapter_shapes",
    "attach",
    "check_target",
    "merge",
    "merged_tensors",
]
