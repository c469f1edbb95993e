"""Whether tensors are those of a model: by name, shape and kind of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch

from groundup.base.errors import RunError, shown

LISTED = 20
"""Problems that a message lists; it counts the others."""
PARAMETER_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class Shaped(Protocol):
    """A tensor, or what stands for one: quantised weights, an entry of a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""


def check_tensors(
    found: Mapping[str, Shaped],
    expected: Iterable[tuple[str, tuple[int, ...]]],
    source: Path,
    config: str = "its config",
) -> None:
    """Raise `RunError` with all that is wrong with the tensors of `source`.

    `config` says in the message what they do not fit.
    """
    if problems := tensor_problems(found, expected):
        raise RunError(f"{source} does not fit {config}: {problems}")


def tensor_problems(
    found: Mapping[str, Shaped], expected: Iterable[tuple[str, tuple[int, ...]]]
) -> str:
    """Say which of `found` are missing, unexpected, misshapen or no float; "" where all fit.

    Of `expected`, names and shapes, no more is taken than a message can list: a model of a million
    layers is refused as fast as any other.
    """
    wanted = dict(islice(expected, len(found) + LISTED + 1))
    problems = [f"missing {name}" for name in wanted if name not in found]
    problems += [f"unexpected {shown(name)}" for name in found if name not in wanted]
    for name, shape in wanted.items():
        if name in found and (problem := _problem(found[name], tuple(shape))):
            problems.append(f"{name} {problem}")
    more = [f"and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
    return "; ".join(problems[:LISTED] + more)


def _problem(found: Shaped, shape: tuple[int, ...]) -> str | None:
    if tuple(found.shape) != shape:
        return f"is {tuple(found.shape)}, expected {shape}"
    dtype = getattr(found, "dtype", torch.float32)  # quantised ones have none
    if dtype not in PARAMETER_DTYPES:
        return f"holds {str(dtype).removeprefix('torch.')}, expected floating-point numbers"
    return None
