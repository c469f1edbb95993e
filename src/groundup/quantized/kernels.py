"""Products with a quantised matrix, by whichever of PyTorch's operators this machine has.

Every kernel is made of `Codes` and a bias or None, takes fp32 vectors (M, I), and returns fp32
(M, O). It keeps the weights in the layout of its operator, and nothing else of them.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.device.allocator import give_back
from groundup.quantized.codes import Codes

Kernel = Callable[[Tensor], Tensor]

PACKED_ROWS = 4096
"""Rows laid out at once: a multiple of every operator's blocks; it bounds the memory it takes."""


class QuantizedOperators:
    """8 bits by the x86 quantised linear: weights and vectors in int8, sums in int32.

    With `vector_bits` of 8, one vector goes in with its own range, from its smallest to its largest
    value. Of several, each is first divided by its largest magnitude, so that none shares its range
    with another. With 16, what 8 bits leave of a vector goes in behind it as one more vector: the
    weights are read once for both, and the products are added.
    """

    def __init__(self, weight: Codes, bias: Tensor | None, vector_bits: int = 8) -> None:
        rows = weight.codes.shape[0]
        with warnings.catch_warnings():  # torchao's successors need a package of their own
            warnings.simplefilter("ignore")
            quantized = torch._make_per_channel_quantized_tensor(
                weight.codes, weight.scales[:, 0].double(), torch.zeros(rows, dtype=torch.long), 0
            )
        self.exact = vector_bits == 16 or not can_multiply_whole_bytes()
        self.packed = torch.ops.quantized.linear_prepack(quantized, None if self.exact else bias)
        self.bias = bias
        # Two products of full range overflow 16 bits where there is nothing wider: 7 bits then.
        self.steps, self.middle = (127, 128) if can_multiply_whole_bytes() else (63, 64)
        operators = torch.ops.quantized
        self.one = operators.linear_dynamic.default
        self.many = operators.linear_with_input_q_dq_qweight_dq_output_fp32.default

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product."""
        if self.exact:
            return self._twice(x)
        if x.shape[0] == 1:
            return self.one(x, self.packed)  # type: ignore[no-any-return]
        size = magnitudes(x)
        out = self.many(x / size, 1 / self.steps, self.middle, self.packed)
        # The bias is in already, once for each size.
        return out.mul_(size) if self.bias is None else torch.lerp(self.bias, out, size)

    def _twice(self, x: Tensor) -> Tensor:
        unit = magnitudes(x) / self.steps
        scaled = x / unit
        whole = scaled.round()
        rest = scaled.sub_(whole).mul_(2 * self.steps)  # from -steps to steps again
        products = self.many(torch.cat((whole, rest)), 1.0, self.middle, self.packed)
        out, of_rest = products.split(len(x))
        out.add_(of_rest, alpha=1 / (2 * self.steps))
        return out.mul_(unit) if self.bias is None else torch.addcmul(self.bias, out, unit)


class OneDNN:
    """8 bits by oneDNN's quantised linear, for a PyTorch without the operators above."""

    def __init__(self, weight: Codes, bias: Tensor | None, vector_bits: int = 8) -> None:
        if vector_bits != 8 or not can_multiply_whole_bytes():
            raise NotImplementedError
        self.packed = torch.ops.onednn.qlinear_prepack(weight.codes, None)
        self.scales = weight.scales[:, 0].clone()
        self.zeros = torch.zeros(len(self.scales), dtype=torch.long)
        self.bias = bias
        self.multiply = torch.ops.onednn.qlinear_pointwise.default

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product."""
        size = magnitudes(x)
        codes = (x * (127 / size)).round_().to(torch.int8)
        settings: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")
        out = self.multiply(codes, 1 / 127, 0, self.packed, self.scales, self.zeros, *settings)
        return out.mul_(size) if self.bias is None else torch.addcmul(self.bias, out, size)


class FourBits:
    """4 bits by PyTorch's int4 product: vectors in bf16, sums in fp32."""

    def __init__(self, weight: Codes, bias: Tensor | None, vector_bits: int = 16) -> None:
        assert weight.zeros is not None
        self.n_rows, self.group = weight.shape[0], weight.group
        spare = -self.n_rows % 64  # the operator wants whole blocks of rows
        pack = torch.ops.aten._convert_weight_to_int4pack_for_cpu
        self.packed = torch.empty((self.n_rows + spare, weight.codes.shape[1]), dtype=torch.uint8)
        for first in range(0, self.n_rows, PACKED_ROWS):
            some = slice(first, first + PACKED_ROWS)
            codes = F.pad(weight[some].unpacked().int() + 8, (0, 0, 0, spare))
            codes = codes[: len(self.packed[some])].contiguous()
            self.packed[some] = pack(codes, 1).view(torch.uint8).view(len(codes), -1)
        ranges = torch.stack((weight.scales, weight.zeros), dim=-1).bfloat16()
        self.ranges = F.pad(ranges, (0, 0, 0, 0, 0, spare)).transpose(0, 1).contiguous()
        self.bias = bias
        self.multiply = torch.ops.aten._weight_int4pack_mm_for_cpu.default

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product."""
        out: Tensor = self.multiply(x.bfloat16(), self.packed, self.group, self.ranges)
        out = out[:, : self.n_rows]
        return out.float() if self.bias is None else out + self.bias  # which is fp32, as the sum is


class Widening:
    """Any bits on any machine: the matrix is written out in fp32 for each product. Slow."""

    def __init__(self, weight: Codes, bias: Tensor | None, vector_bits: int = 32) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product."""
        return F.linear(x, self.weight.dequantized(), self.bias)


def magnitudes(x: Tensor) -> Tensor:
    """Return the largest magnitude of each vector (M, 1), never 0."""
    return x.abs().amax(dim=-1, keepdim=True).clamp_min_(torch.finfo(x.dtype).tiny)


def can_multiply_whole_bytes() -> bool:
    """Tell whether this CPU sums products of 8 bits without overflow (on x86: VNNI)."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return not x86 or torch.cpu._is_vnni_supported()


def kernel(weight: Codes, bias: Tensor | None, vector_bits: int = 8) -> Kernel:
    """Return the fastest kernel for `weight` that this PyTorch and this machine have.

    8-bit weights meet vectors of at least `vector_bits` bits, 8 or 16.
    """
    for kind in (FourBits,) if weight.bits == 4 else (QuantizedOperators, OneDNN):
        try:
            made = kind(weight, bias, vector_bits)
            made(torch.zeros(1, weight.shape[1]))
        except (AttributeError, RuntimeError, NotImplementedError):
            continue
        give_back()  # what laying it out took: holes that grow with every matrix of a model
        return made
    return Widening(weight, bias)
