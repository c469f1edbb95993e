"""Which matrices of a model are quantised, and how they get into it: modules are swapped."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from groundup.config import Parameter
from groundup.model import GPT, OutputHead
from groundup.quantized.codes import Codes
from groundup.quantized.linear import QuantizedEmbedding, QuantizedLinear

QUANTIZED_PARTS = ("token embedding", "attention", "feed-forward", "output head")
"""Parts whose matrices are quantised; a router is small, and its choices are delicate."""


def quantizable(parameter: Parameter) -> bool:
    """Tell whether a parameter is one of the matrices that are quantised."""
    is_matrix = len(parameter.shape) == 2 and parameter.name.endswith(".weight")
    return is_matrix and parameter.part in QUANTIZED_PARTS


def swap_in(model: GPT, parameters: Mapping[str, Tensor | Codes]) -> None:
    """Give an empty model its parameters, in fp32, and a quantised module for each that is codes.

    A tied output head multiplies by the codes that the embedding reads its rows from.
    """
    plain = {name: p.float() for name, p in parameters.items() if isinstance(p, Tensor)}
    model.load_state_dict(plain, strict=False, assign=True)
    tied = "lm_head.weight" not in parameters
    for name, module in list(model.named_modules()):
        source = "token_embedding" if tied and module is model.lm_head else name
        weight = parameters.get(f"{source}.weight")
        if isinstance(weight, Codes):
            model.set_submodule(name, _quantized(module, weight, plain.get(f"{name}.bias")))
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def _quantized(module: nn.Module, weight: Codes, bias: Tensor | None) -> nn.Module:
    if isinstance(module, nn.Embedding):
        return QuantizedEmbedding(weight)
    if isinstance(module, OutputHead):
        return QuantizedLinear(weight, bias, module.cap)
    return QuantizedLinear(weight, bias)
