"""Leaving single blocks out of a trained model, or swapping two neighbours (Veit et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.lab.experiment import Setting, Values
from groundup.lab.measures.text import read_text
from groundup.lab.measures.training import trained
from groundup.model import GPT, NO_CACHE, Cache

N_WINDOWS = 32


class _Absent(nn.Module):
    """Stands where a block was: only the shortcut is left."""

    def forward(self, x: Tensor, cache: Cache, rotate: Callable[[Tensor], Tensor]) -> Tensor:
        return x


def train_and_cut(setting: Setting) -> Values:
    """Train a model, then measure its loss with each block left out, and with neighbours swapped.

    As `train_arm`, and in nats a token over windows of the validation text: intact; cut: without
    block i; swapped: with blocks i and i + 1 in each other's place.
    """
    model, values = trained(setting)
    tokens, targets = _windows(setting)
    blocks = model.blocks
    cut, swapped = [], []
    for i in range(len(blocks)):
        with _arranged(model, [_Absent() if j == i else b for j, b in enumerate(blocks)]):
            cut.append(_loss(model, tokens, targets))
    for i in range(len(blocks) - 1):
        with _arranged(model, [*blocks[:i], blocks[i + 1], blocks[i], *blocks[i + 2 :]]):
            swapped.append(_loss(model, tokens, targets))
    intact = _loss(model, tokens, targets)
    return {**values, "intact": intact, "cut": cut, "swapped": swapped}


@contextmanager
def _arranged(model: GPT, blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Give a model other blocks for a while."""
    before, model.blocks = model.blocks, nn.ModuleList(blocks)
    try:
        yield
    finally:
        model.blocks = before


def _windows(setting: Setting) -> tuple[Tensor, Tensor]:
    """Return tokens and targets (B, T) from the beginning of the validation text."""
    split, length = read_text(setting.text).splits[1], setting.config.context_length
    n_windows = min(N_WINDOWS, (split.n_tokens - 1) // length)
    ids = torch.from_numpy(split.read(0, n_windows * length + 1).astype(np.int64))
    return ids[:-1].view(n_windows, length), ids[1:].view(n_windows, length)


@torch.no_grad()
def _loss(model: GPT, tokens: Tensor, targets: Tensor) -> float:
    return F.cross_entropy(model(tokens, NO_CACHE).flatten(0, 1), targets.flatten()).item()
