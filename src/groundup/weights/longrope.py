"""Of longrope's two lists of factors the one that goes with a context: a model of ours has one.

Their models take the first for texts that fit into the context they first learned, and the second
for longer ones. Here the context decides once for all texts, as in llama.cpp and vLLM.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, UsageError
from groundup.config import GPTConfig


def longrope_fields(
    short: Sequence[float],
    long: Sequence[float],
    original: int,
    most: int,
    wanted: int | None,
    source: Path,
) -> dict[str, Any]:
    """Return our fields for the `wanted` context, else for the longest one that is exact.

    `short` factors are for texts of up to `original` tokens, `long` ones for up to `most`.
    """
    if original < 2:
        raise RunError(f"{source}: longrope of {original} tokens of context: expected 2 or more")
    if len(short) != len(long):
        lengths = f"{len(short)} factors for short texts and {len(long)} for long ones"
        raise RunError(f"{source}: longrope has {lengths}: expected as many of each")
    exact = most if list(short) == list(long) else min(original, most)
    context = exact if wanted is None else wanted
    if not 1 <= context <= most:
        raise UsageError(f"--set context_length={wanted}: {source} has up to {most:,}; give less")
    factors = tuple(short if context <= original else long)
    return {"rope_scaling": "longrope", "rope_factors": factors, "context_length": context}


def longrope_notice(
    config: GPTConfig, short: Sequence[float], most: int, wanted: int | None, source: Path
) -> list[str]:
    """Return a notice where the context was cut, or short texts do not have their `short` factors.

    `most` is the context of the model, `wanted` the one that somebody asked for.
    """
    if config.rope_factors != tuple(short):
        return [
            f"{source}: short texts have the factors of long ones here, too (longrope), where "
            "transformers takes others; without --set context_length they are exact"
        ]
    if wanted is not None or config.context_length >= most:
        return []
    return [
        f"{source}: its context is {config.context_length:,} here, where its factors for short "
        f"texts (longrope) are exact; for those of up to {most:,} tokens import it with --set "
        f"context_length={most}"
    ]
