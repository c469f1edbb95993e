"""fp32 products while writing, by oneDNN where that is faster: on AMD's processors with AVX-512.

There Intel's library, which PyTorch takes, reads a matrix for one vector with one thread, at 17 of
the 43 GB/s that were measured, and multiplies several at half of oneDNN's speed. oneDNN takes the
weights as they lie; no copy is made.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from groundup.device.products import ONEDNN, choose_products
from groundup.model import GPT

LEAST = 1 << 16
"""Weights of a matrix that is worth it: one of 256 x 256 was a little faster, one of 64 x 64 was
not."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return what `F.linear` does, of numbers that need no gradient."""
    if not _is_plain(x, weight):
        return F.linear(x, weight, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def suited(call: Any) -> Any:
    """Return what computes the same as a function of PyTorch, and faster where that is known."""
    return linear if call is F.linear and onednn_is_faster() else call


def quick_products(model: GPT) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a model's linear layers are computed in the fastest way."""
    weight = getattr(model.lm_head, "weight", None)
    if not isinstance(weight, Tensor) or not torch.is_inference_mode_enabled():
        return contextlib.nullcontext()
    plain = weight.dtype == torch.float32 and weight.device.type == "cpu"
    return _QuickProducts() if plain and onednn_is_faster() else contextlib.nullcontext()


class _QuickProducts(TorchFunctionMode):
    """Computes every linear layer by `linear`."""

    def __torch_function__(
        self, call: Any, types: Any, given: tuple[Any, ...] = (), named: Any = None
    ) -> Any:
        return suited(call)(*given, **(named or {}))


def _is_plain(x: Tensor, weight: Tensor) -> bool:
    fp32 = x.dtype == weight.dtype == torch.float32
    return fp32 and weight.dim() == 2 and weight.numel() >= LEAST and weight.is_contiguous()


@lru_cache(maxsize=1)
def onednn_is_faster() -> bool:
    """Tell whether oneDNN multiplies fp32 faster here, and exactly; the same in every process."""
    return choose_products()[0] == ONEDNN and hasattr(torch.ops.mkldnn, "_linear_pointwise")
