"""A model without numbers: its shape, for weights that are there already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from groundup.attend import Attend, fused_attention
from groundup.config import GPTConfig, Parameter, foreign_parts, parameter_shapes, part_of
from groundup.model.block import PARTS
from groundup.model.gpt import GPT
from groundup.model.parts import Parts


class _Unfilled(TorchFunctionMode):
    """Leaves new parameters as they are; filling what has no storage takes PyTorch seconds."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def empty_gpt(config: GPTConfig, parts: Parts = PARTS, attend: Attend = fused_attention) -> GPT:
    """Return a GPT on the meta device; assign a state dict to it, then call `tie_weights`."""
    with torch.device("meta"), _Unfilled():
        return GPT(config, attend, parts)


def shapes_of(model: GPT) -> Iterator[Parameter]:
    """Yield what `parameter_shapes` does, of a model as it is, whatever its parts."""
    for name, parameter in model.named_parameters():
        yield Parameter(name, tuple(parameter.shape), part_of(name))


def shapes_with(config: GPTConfig, parts: Parts) -> Iterator[Parameter]:
    """Yield the parameters of a model of `config`, which is made for it only where it must be."""
    if foreign_parts(config):
        yield from shapes_of(empty_gpt(config, parts))
    else:
        yield from parameter_shapes(config)


def filled_gpt(config: GPTConfig, tensors: Mapping[str, Tensor], parts: Parts = PARTS) -> GPT:
    """Return a GPT whose parameters are these tensors themselves, by their names."""
    if foreign_parts(config):
        return _filled(new_gpt(config, parts), tensors)
    model = empty_gpt(config)
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    return model


def new_gpt(config: GPTConfig, parts: Parts) -> GPT:
    """Return a GPT with all that its parts hold beside parameters; no random number is used up."""
    with torch.random.fork_rng(devices=[]):
        return GPT(config, parts=parts)


def _filled(model: GPT, tensors: Mapping[str, Tensor]) -> GPT:
    """Give the parameters their values and leave them where they are: parts may share them."""
    for name, parameter in model.named_parameters():
        parameter.data = tensors[name]
    return model
