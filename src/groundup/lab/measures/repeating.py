"""A made-up text in which only where a token stands tells the next one."""

from __future__ import annotations

import math

import numpy as np

from groundup.data import TokenSplit
from groundup.lab.measures.text import LabText
from groundup.tokenizer import CharTokenizer

LETTERS = "abcdefghijklmnop"
DISTANCE = 8
"""Tokens from a letter to the one that it most likely repeats."""
KEPT = 0.9
"""How often it repeats it, rather than being drawn anew from all letters."""
TOKENS = 400_000
VALIDATION_TOKENS = 20_000


def repeating_text(seed: int) -> LabText:
    """Return a text whose letter is with `KEPT` that of `DISTANCE` before, else drawn anew."""
    draw = np.random.default_rng(seed)
    tokenizer = CharTokenizer.train([LETTERS])
    new = draw.integers(len(LETTERS), size=(TOKENS // DISTANCE, DISTANCE))
    keeps = draw.random(new.shape) < KEPT
    keeps[0] = False
    # The row from which a letter was kept: the latest at or above it that was drawn anew.
    rows = np.maximum.accumulate(np.where(keeps, 0, np.arange(len(new))[:, None]), axis=0)
    ids = np.take_along_axis(new, rows, axis=0).reshape(-1)
    first, last = (
        TokenSplit.from_array(part, len(part))
        for part in np.split(ids, [len(ids) - VALIDATION_TOKENS])
    )
    return LabText(
        name="repeating",
        fingerprint=f"repeating-{seed}",
        tokenizer=tokenizer,
        splits=(first, last),
        n_characters=TOKENS,
        unigram_entropy=math.log(len(LETTERS)),
    )


def least_loss() -> float:
    """Return the entropy of a letter whose forerunner is known: nats a token."""
    other = (1 - KEPT) / len(LETTERS)
    same = KEPT + other
    return -same * math.log(same) - (len(LETTERS) - 1) * other * math.log(other)
