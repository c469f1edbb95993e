"""Matrices of gpt-oss in 4 bits (MXFP4: Open Compute Project, 2023): NAME_blocks and NAME_scales.

A block is 32 numbers of a row in 16 bytes, the lower half of each byte first; its scale is a power
of two, stored as that power plus 127. All numbers are exact in bf16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from groundup.base.errors import RunError
from groundup.runs.tensor_file import Stored

BLOCKS, SCALES = "_blocks", "_scales"
NUMBERS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""What the lower three of four bits stand for; the fourth is the sign."""
BIAS, BLOCK = 127, 32


def unpacked(found: Mapping[str, Stored], source: Path) -> dict[str, Stored]:
    """Return the tensors with what is packed as (E, in, out) in bf16, unpacked when it is read."""
    packed = [name.removesuffix(BLOCKS) for name in found if name.endswith(BLOCKS)]
    taken = {whole + end for whole in packed for end in ("", BLOCKS, SCALES)}
    plain = {name: stored for name, stored in found.items() if name not in taken}
    latest: list[tuple[Stored, Tensor]] = []
    for whole in packed:
        name = whole + BLOCKS
        if whole in found:
            raise RunError(f"{source}: {whole} is in it twice, packed and not; fetch it again")
        blocks = found[name]
        scales = found.get(whole + SCALES)
        if scales is None or not _fit(blocks, scales):
            raise RunError(
                f"{source}: {name} has no {SCALES} that fit; fetch the model again, whole"
            )
        n_experts, outputs, groups = scales.shape
        shape = (n_experts, groups * BLOCK, outputs)
        plain[whole] = Stored(shape, torch.bfloat16, _reading(blocks, scales, latest))
    return plain


def _fit(blocks: Stored, scales: Stored) -> bool:
    same = blocks.shape == (*scales.shape, BLOCK // 2) and len(scales.shape) == 3
    return same and blocks.dtype == scales.dtype == torch.uint8


def _reading(
    blocks: Stored, scales: Stored, latest: list[tuple[Stored, Tensor]]
) -> Callable[[], Tensor]:
    """Return how a matrix is read; the `latest` is kept, as every expert asks for its part."""

    def read() -> Tensor:
        for of, whole in latest:
            if of is blocks:
                return whole
        whole = _whole(blocks.read(), scales.read())
        latest[:] = [(blocks, whole)]
        return whole

    return read


def _whole(blocks: Tensor, scales: Tensor) -> Tensor:
    """Return (E, in, out) of blocks (E, out, groups, bytes) and scales (E, out, groups)."""
    numbers = torch.tensor((*NUMBERS, *(-number for number in NUMBERS)))
    halves = torch.stack((blocks & 15, blocks >> 4), dim=-1).flatten(-2)  # (E, out, groups, 32)
    values = torch.ldexp(numbers[halves.long()], scales.int()[..., None] - BIAS)
    return values.flatten(-2).transpose(1, 2).bfloat16()
