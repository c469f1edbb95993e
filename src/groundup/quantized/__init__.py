"""Weights in 8 or 4 bits: how they are stored, how they multiply, and how they get into a model."""

from groundup.quantized.codes import Codes, gather, quantize, scatter
from groundup.quantized.linear import QuantizedEmbedding, QuantizedLinear
from groundup.quantized.swap import quantizable, swap_in

__all__ = [
    "Codes",
    "QuantizedEmbedding",
    "QuantizedLinear",
    "gather",
    "quantizable",
    "quantize",
    "scatter",
    "swap_in",
]
