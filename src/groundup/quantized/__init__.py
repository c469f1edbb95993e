"""Weights in 8 or 4 bits: how they are stored, how they multiply, and how they get into a model."""

from groundup.quantized.codes import Codes, even_columns, gather, quantize, scatter
from groundup.quantized.linear import QuantizedEmbedding, QuantizedLinear
from groundup.quantized.swap import quantizable, swap_in

__all__ = [
    "Codes",
    "QuantizedEmbedding",
    "QuantizedLinear",
    "even_columns",
    "gather",
    "quantizable",
    "quantize",
    "scatter",
    "swap_in",
]
