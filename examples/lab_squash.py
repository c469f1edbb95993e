"""An activation of one's own against groundup's, over paired seeds.

    groundup lab examples/lab_squash.py

`groundup lab` runs this file, in each of its processes.
"""

from dataclasses import replace
from functools import partial

from torch import Tensor

from groundup.lab import compare_arms
from groundup.model import PARTS, FeedForward


def squash(x: Tensor) -> Tensor:
    """Return `x` between -1 and 1 (softsign)."""
    return x / (1 + x.abs())


EXPERIMENT = compare_arms(
    "squash",
    "Does an activation need to let large values pass?",
    {"gelu": {"feed_forward": "gelu"}, "squash": {"feed_forward": "squash"}},
    prediction="Squashing between -1 and 1 ends higher than GELU",
    parts=replace(
        PARTS,
        feed_forwards={**PARTS.feed_forwards, "squash": partial(FeedForward, activation=squash)},
    ),
    model={"context_length": 64, "emb_dim": 48, "n_heads": 4, "n_layers": 2},
    steps=300,
    seeds=5,
)
