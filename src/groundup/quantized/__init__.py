"""Weights in 8 or 4 bits: how they are stored, how they multiply, and how they get into a model."""

from groundup.quantized.codes import Codes, from_tensors, quantize, to_tensors
from groundup.quantized.linear import QuantizedEmbedding, QuantizedLinear
from groundup.quantized.swap import quantizable, swap_in

__all__ = [
    "Codes",
    "QuantizedEmbedding",
    "QuantizedLinear",
    "from_tensors",
    "quantizable",
    "quantize",
    "swap_in",
    "to_tensors",
]
