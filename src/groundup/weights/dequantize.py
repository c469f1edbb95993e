"""Quantised matrices of ours as the fp32 numbers that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from groundup.quantized import Codes, from_tensors
from groundup.quantized.codes import SUFFIXES
from groundup.runs.tensor_file import Stored

ENDS = tuple(f".{part}" for part in SUFFIXES)


def dequantized(stored: Mapping[str, Stored], source: Path) -> dict[str, Stored]:
    """Return tensors not yet read, with a matrix in place of the parts that stand for one."""
    names = dict.fromkeys(name.removesuffix(".codes") for name in stored if name.endswith(".codes"))
    found = {}
    for name in names:
        whole = [f"{name}{end}" for end in ENDS]
        parts = {part: stored[part] for part in whole if part in stored}

        def read(name: str = name, parts: Mapping[str, Stored] = parts) -> Tensor:
            read_parts = {part: tensor.read() for part, tensor in parts.items()}
            matrix = from_tensors(read_parts, source)[name]
            return matrix.dequantized() if isinstance(matrix, Codes) else matrix

        codes = stored[f"{name}.codes"]
        width = codes.shape[-1] * (1 if codes.dtype == torch.int8 else 2)
        found[name] = Stored((*codes.shape[:-1], width), torch.float32, read)
    rest = {name: tensor for name, tensor in stored.items() if not name.endswith(ENDS)}
    return found | rest
