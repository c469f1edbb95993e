"""A model without numbers: its shape, for weights that are there already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from groundup.config import GPTConfig
from groundup.model.gpt import GPT


class _Unfilled(TorchFunctionMode):
    """Leaves new parameters as they are; filling what has no storage takes PyTorch seconds."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def empty_gpt(config: GPTConfig) -> GPT:
    """Return a GPT on the meta device; assign a state dict to it, then call `tie_weights`."""
    with torch.device("meta"), _Unfilled():
        return GPT(config)


def filled_gpt(config: GPTConfig, tensors: Mapping[str, Tensor]) -> GPT:
    """Return a GPT whose parameters are these tensors themselves, by their names."""
    model = empty_gpt(config)
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    return model
