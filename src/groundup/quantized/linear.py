"""Modules that stand where a model had a linear layer or an embedding, with quantised weights.

`n_quantized` is the number of parameters for which a module stands, which are none of PyTorch's.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.attend import Cap, uncapped
from groundup.quantized.codes import Codes
from groundup.quantized.kernels import kernel


class QuantizedLinear(nn.Module):
    """Multiply by a quantised matrix; only the layout that the kernel reads stays in memory.

    `codes` stay where they are, in a file that is mapped.
    """

    def __init__(
        self,
        weight: Codes,
        bias: Tensor | None,
        vector_bits: int = 8,
        cap: Cap = uncapped,
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bits = weight.bits
        self.n_quantized = weight.shape.numel() + (0 if bias is None else len(bias))
        self.codes: Codes | None = weight
        self.bias = bias
        self.kernel = kernel(weight, bias, vector_bits)
        self.cap = cap

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """Return the product, with the bias."""
        out = self.kernel(x.reshape(-1, self.in_features))
        return self.cap(out.view(*x.shape[:-1], self.out_features))

    def extra_repr(self) -> str:
        """Show the sizes and by what the product is computed."""
        how = type(self.kernel).__name__
        return f"{self.in_features}, {self.out_features}, {self.bits} bits, {how}"


class Joint:
    """Several products of one vector as one: whoever asks first has all of them computed."""

    def __init__(self, linear: QuantizedLinear, sizes: list[int]) -> None:
        self.linear, self.sizes = linear, sizes
        linear.codes = None  # joined, they are a copy; each part has its own rows of the file
        self.seen: Tensor | None = None
        self.parts: list[Tensor] = []

    def part(self, place: int, x: Tensor) -> Tensor:
        """Return the product at `place`; what was computed is forgotten after the last."""
        if x is not self.seen:
            self.seen, self.parts = x, list(self.linear(x).split(self.sizes, dim=-1))
        part = self.parts[place]
        if place == len(self.sizes) - 1:
            self.seen, self.parts = None, []
        return part


class JointLinear(nn.Module):
    """One of several linear layers that multiply the same vectors, called one after the other."""

    def __init__(self, joint: Joint, place: int, codes: Codes) -> None:
        super().__init__()
        self.joint, self.place, self.codes = joint, place, codes
        whole = joint.linear
        self.bias = None if whole.bias is None else torch.split(whole.bias, joint.sizes)[place]
        self.n_quantized = whole.n_quantized * joint.sizes[place] // whole.out_features

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """Return this layer's product."""
        return self.joint.part(self.place, x)

    def extra_repr(self) -> str:
        """Show this layer's part of the whole."""
        return f"{self.joint.sizes[self.place]} of {self.joint.linear.extra_repr()}"


class QuantizedEmbedding(nn.Module):
    """Look vectors up in a quantised table; of one that is memory-mapped, only these are read."""

    def __init__(self, table: Codes) -> None:
        super().__init__()
        self.table = table
        self.n_quantized = table.shape.numel()

    def forward(self, tokens: Int[Tensor, "*B"]) -> Float[Tensor, "*B D"]:
        """Return the vectors of `tokens`."""
        return self.table[tokens].dequantized()

    def extra_repr(self) -> str:
        """Show the sizes."""
        rows, width = self.table.shape
        return f"{rows}, {width}, {self.table.bits} bits"
