"""Which matrices of a model are quantised, and how they get into it: modules are swapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from groundup.config import Parameter
from groundup.model import GPT, OutputHead
from groundup.quantized.codes import Codes, join
from groundup.quantized.linear import Joint, JointLinear, QuantizedEmbedding, QuantizedLinear

QUANTIZED_PARTS = ("token embedding", "attention", "feed-forward", "output head")
"""Parts whose matrices are quantised; a router is small, and its choices are delicate."""

SIBLINGS = (("query", "key", "value"), ("gate", "up"))
"""Layers that multiply the same vectors, in the order in which the model calls them."""


def quantizable(parameter: Parameter) -> bool:
    """Tell whether a parameter is one of the matrices that are quantised."""
    is_matrix = len(parameter.shape) == 2 and parameter.name.endswith(".weight")
    return is_matrix and parameter.part in QUANTIZED_PARTS


def swap_in(model: GPT, parameters: Mapping[str, Tensor | Codes], vector_bits: int = 8) -> None:
    """Give an empty model its parameters, in fp32, and a quantised module for each that is codes.

    A tied output head multiplies by the codes that the embedding reads its rows from. Matrices in 8
    bits multiply vectors of `vector_bits`.
    """
    linear = partial(QuantizedLinear, vector_bits=vector_bits)
    plain = {name: p.float() for name, p in parameters.items() if isinstance(p, Tensor)}
    model.load_state_dict(plain, strict=False, assign=True)
    tied = "lm_head.weight" not in parameters
    for name, module in list(model.named_modules()):
        for siblings in SIBLINGS:
            names = [f"{name}.{sibling}" for sibling in siblings]
            _swap_joint(module, names, siblings, parameters, linear)
    for name, module in list(model.named_modules()):
        source = "token_embedding" if tied and module is model.lm_head else name
        weight = parameters.get(f"{source}.weight")
        if isinstance(weight, Codes) and not isinstance(module, JointLinear):
            bias = plain.get(f"{name}.bias")
            swapped: Any = _quantized(module, weight, bias, linear)
            if source != name:
                swapped.n_quantized = 0  # counted where the embedding is
            model.set_submodule(name, swapped)
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def _swap_joint(
    parent: nn.Module,
    names: Sequence[str],
    siblings: Sequence[str],
    parameters: Mapping[str, Tensor | Codes],
    linear: Callable[..., QuantizedLinear],
) -> None:
    """Let layers of `parent` that multiply the same vectors do so at once, where they can."""
    weights = [parameters.get(f"{name}.weight") for name in names]
    codes = [weight for weight in weights if isinstance(weight, Codes)]
    if len(codes) < len(siblings) or (whole := join(codes)) is None:
        return
    biases = [bias for n in names if isinstance(bias := parameters.get(f"{n}.bias"), Tensor)]
    bias = torch.cat(biases).float() if biases else None
    joint = Joint(linear(whole, bias), [code.shape[0] for code in codes])
    for place, (sibling, own) in enumerate(zip(siblings, codes, strict=True)):
        setattr(parent, sibling, JointLinear(joint, place, own))


def _quantized(
    module: nn.Module,
    weight: Codes,
    bias: Tensor | None,
    linear: Callable[..., QuantizedLinear],
) -> nn.Module:
    if isinstance(module, nn.Embedding):
        return QuantizedEmbedding(weight)
    if isinstance(module, OutputHead):
        return linear(weight, bias, cap=module.cap)
    return linear(weight, bias)
