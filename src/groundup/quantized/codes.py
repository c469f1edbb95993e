"""A matrix as small whole numbers with a scale: what it is on disk, and what it stands for.

    8 bits    weight = scale x code           code -127 to 127, a scale for each row
    4 bits    weight = scale x code + zero    code -8 to 7, both for each group of a row

On disk a matrix `name` is `name.codes` (int8, or uint8 with two codes a byte, the lower four bits
first), `name.scales`, and in 4 bits `name.zeros`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from groundup.base.errors import RunError, shown

SUFFIXES = ("codes", "scales", "zeros")
GROUP = 32
"""Weights of a row that share a scale in 4 bits."""
SHRINKS = (1.0, 0.92, 0.84, 0.76)
"""Shares of a group's range from which the search for its scale sets out."""
ROUNDS = 4


@dataclass(frozen=True, eq=False)
class Codes:
    """A matrix: codes (O, I) or (O, I / 2), scales and zeros (O, groups)."""

    codes: Tensor
    scales: Tensor
    zeros: Tensor | None = None

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return 8 if self.codes.dtype == torch.int8 else 4

    @property
    def shape(self) -> torch.Size:
        """The shape (O, I) of the matrix it stands for."""
        rows, stored = self.codes.shape
        return torch.Size((rows, stored * 8 // self.bits))

    @property
    def group(self) -> int:
        """Weights that share a scale."""
        return self.shape[1] // self.scales.shape[-1]

    def __getitem__(self, rows: Tensor | slice) -> Codes:
        """Return some rows, or a table (..., I) of them."""
        zeros = None if self.zeros is None else self.zeros[rows]
        return Codes(self.codes[rows], self.scales[rows], zeros)

    def unpacked(self) -> Tensor:
        """Return the codes, one each (..., I) int8."""
        if self.bits == 8:
            return self.codes
        pairs = torch.stack((self.codes & 15, self.codes >> 4), dim=-1)
        return pairs.flatten(-2).to(torch.int8) - 8

    def dequantized(self) -> Tensor:
        """Return the fp32 matrix (..., I) that the codes stand for."""
        codes, n_groups = self.unpacked(), self.scales.shape[-1]
        grouped = codes.view(*codes.shape[:-1], n_groups, -1) * self.scales.float()[..., None]
        if self.zeros is not None:
            grouped = grouped + self.zeros.float()[..., None]
        return grouped.flatten(-2)


def quantize(weight: Tensor, bits: int) -> Codes:
    """Return the matrix `weight` (O, I) in 8 or 4 bits; in 8 where 4 would leave half a group."""
    weight = weight.float()
    if bits == 4 and weight.shape[1] % GROUP == 0:
        return _four(weight)
    return _eight(weight)


def join(matrices: Sequence[Codes]) -> Codes | None:
    """Return matrices that multiply the same vectors as one, or None where their forms differ."""
    first = matrices[0]
    if any(matrix.bits != first.bits for matrix in matrices):
        return None
    zeros = [m.zeros for m in matrices if m.zeros is not None]
    return Codes(
        torch.cat([m.codes for m in matrices]),
        torch.cat([m.scales for m in matrices]),
        torch.cat(zeros) if zeros else None,
    )


def _eight(weight: Tensor) -> Codes:
    scales = (weight.abs().amax(dim=1, keepdim=True) / 127).clamp_min(torch.finfo().tiny)
    return Codes((weight / scales).round().to(torch.int8), scales)


def _four(weight: Tensor) -> Codes:
    parts = [
        _four_rows(rows) for rows in torch.split(weight, 1024)
    ]  # bounds the memory of the search
    codes, scales, zeros = (torch.cat(part) for part in zip(*parts, strict=True))
    return Codes(codes[:, 0::2] | codes[:, 1::2] << 4, scales, zeros)


def _four_rows(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes 0 to 15 (O, I), scales and zeros (O, groups) of the least squared error.

    By turns: the codes that suit scale and zero, and the scale and zero that suit the codes (a
    straight line through them by least squares), from several beginnings.
    """
    groups = weight.view(len(weight), -1, GROUP)
    low, high = groups.aminmax(dim=-1, keepdim=True)
    middle, half = (low + high) / 2, (high - low) / 2
    best = [torch.full_like(low, torch.inf), torch.zeros_like(low), torch.zeros_like(low)]
    for shrink in SHRINKS:
        scale, zero = half * shrink / 7.5, middle + half * shrink / 15
        for _ in range(ROUNDS):
            codes = _nearest(groups, *_stored(scale, zero))
            scale, zero = _line(codes, groups)
            kept = _stored(scale, zero)
            error = (_nearest(groups, *kept) * kept[0] + kept[1] - groups).square().sum(-1, True)
            better = error < best[0]
            for old, new in zip(best, (error, *kept), strict=True):
                old.copy_(torch.where(better, new, old))
    _, scale, zero = best
    codes = (_nearest(groups, scale, zero) + 8).to(torch.uint8).flatten(1)
    return codes, scale[..., 0].bfloat16(), zero[..., 0].bfloat16()


def _stored(scale: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and zero as they will be read back."""
    tiny = torch.finfo(torch.bfloat16).tiny
    return scale.clamp_min(tiny).bfloat16().float(), zero.bfloat16().float()


def _nearest(groups: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    return ((groups - zero) / scale).round_().clamp_(-8, 7)


def _line(codes: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and zero of the line through (code, weight) with the least squared error."""
    mean_code, mean = codes.mean(-1, True), groups.mean(-1, True)
    spread = codes - mean_code
    variance = spread.square().sum(-1, True)
    scale = (spread * (groups - mean)).sum(-1, True) / variance.clamp_min(1e-12)
    return scale, mean - scale * mean_code


def to_tensors(name: str, matrix: Codes) -> dict[str, Tensor]:
    """Return the tensors that stand for the matrix `name` on disk."""
    parts = {part: getattr(matrix, part) for part in SUFFIXES}
    return {f"{name}.{part}": tensor for part, tensor in parts.items() if tensor is not None}


def from_tensors(tensors: Mapping[str, Tensor], source: object = "") -> dict[str, Tensor | Codes]:
    """Return `tensors` with those that stand for one matrix as one; `RunError` where one is odd."""
    found: dict[str, Tensor | Codes] = {}
    taken = set()
    for codes in (name for name in tensors if name.endswith(".codes")):
        name = codes.removesuffix(".codes")
        parts = {part: f"{name}.{part}" for part in SUFFIXES}
        taken |= set(parts.values())
        found[name] = _checked(name, {k: tensors.get(v) for k, v in parts.items()}, source)
    return found | {name: tensor for name, tensor in tensors.items() if name not in taken}


def _checked(name: str, parts: Mapping[str, Tensor | None], source: object) -> Codes:
    """Return the parts as one matrix, or raise `RunError` saying what does not fit."""
    codes, scales, zeros = (parts[part] for part in SUFFIXES)
    problem = None
    if codes is None or codes.dtype not in (torch.int8, torch.uint8) or codes.ndim != 2:
        problem = "codes: expected a table of int8, or of uint8 pairs"
    elif scales is None or not scales.is_floating_point() or scales.ndim != 2:
        problem = "scales: expected a table of floating-point numbers"
    elif (zeros is None) != (codes.dtype == torch.int8):
        problem = "zeros: expected with 4 bits, and only there"
    elif zeros is not None and (zeros.shape != scales.shape or not zeros.is_floating_point()):
        problem = "zeros: expected to be like scales"
    elif not _fit(codes, scales):
        problem = f"scales {tuple(scales.shape)} do not fit codes {tuple(codes.shape)}"
    elif not all(bool(part.isfinite().all()) for part in (scales, zeros) if part is not None):
        problem = "scales or zeros that are not finite"
    if problem:
        raise RunError(f"{source}: {shown(name)}.{problem}; quantize the run again")
    assert codes is not None
    assert scales is not None
    return Codes(codes, scales, zeros)


def _fit(codes: Tensor, scales: Tensor) -> bool:
    rows, stored = codes.shape
    if codes.dtype == torch.int8:
        return scales.shape == (rows, 1)
    return stored * 2 % GROUP == 0 and scales.shape == (rows, stored * 2 // GROUP)
