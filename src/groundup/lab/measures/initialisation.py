"""Untrained models: one forward and one backward pass through one, and other ways to start it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.lab.experiment import Setting
from groundup.lab.measures.text import read_text
from groundup.lab.measures.training import new_model
from groundup.model import GPT
from groundup.model import LearnedPositions as _Positions
from groundup.model.init import SHORTCUT_ENDS, STANDARD_DEVIATION


@dataclass(frozen=True, kw_only=True)
class FirstPass:
    """What an untrained model did with a few sequences; its parameters hold their gradients."""

    model: GPT
    loss: float
    """Nats a token."""
    logits: Tensor
    """(B, T, V)."""
    streams: list[Tensor]
    """What enters each block and what leaves the last: n_layers + 1 of (B, T, D), each with the
    gradient of the loss in `grad`."""


def first_pass(setting: Setting, n_sequences: int = 1) -> FirstPass:
    """Run the untrained model of a setting forward and backward, on sequences that its seed picks.

    The loss is the mean cross-entropy over all tokens.
    """
    model = new_model(setting)
    tokens, targets = first_batch(setting, n_sequences)
    streams: list[Tensor] = []

    def keep(stream: Tensor) -> None:
        stream.retain_grad()
        streams.append(stream)

    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, given: keep(given[0]))
    model.blocks[-1].register_forward_hook(lambda _, given, made: keep(made))
    logits = model(tokens)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()  # type: ignore[no-untyped-call]
    return FirstPass(model=model, loss=loss.item(), logits=logits.detach(), streams=streams)


def first_batch(setting: Setting, n_sequences: int) -> tuple[Tensor, Tensor]:
    """Return tokens and targets (B, T) from places of the training text that the seed picks."""
    split, length = read_text(setting.text).splits[0], setting.config.context_length
    places = np.random.default_rng(setting.cell.seed).integers(
        split.n_tokens - length, size=n_sequences
    )
    rows = np.stack([split.read(int(at), length + 1) for at in places]).astype(np.int64)
    return torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])


def variance(stream: Tensor) -> float:
    """Return the variance within a vector of `stream` (B, T, D), averaged over all vectors."""
    return stream.detach().var(dim=-1, correction=0).mean().item()


@dataclass(frozen=True)
class NormalStart:
    """Starts a model as `groundup.model.init` does, with a standard deviation of one's own.

    `shrunk`: whether the last projection on each shortcut starts smaller by 1 / sqrt(2 x n_layers).
    The tensors are the ones that were drawn, scaled: what is random stays the same in all arms.
    """

    std: float
    shrunk: bool = True

    def __call__(self, model: GPT) -> None:
        """Scale the matrices and embeddings of `model`, which has just been made."""
        _scale(model, lambda weight: self.std, self.shrunk, (nn.Linear, nn.Embedding, _Positions))


@dataclass(frozen=True)
class XavierStart:
    """Starts the matrices with variance 2 / (inputs + outputs) (Glorot and Bengio, 2010).

    Embeddings are looked up, not multiplied, and stay as they were. The rest as in `NormalStart`.
    """

    shrunk: bool = False

    def __call__(self, model: GPT) -> None:
        """Scale the matrices of `model`, which has just been made."""
        _scale(model, lambda weight: math.sqrt(2 / sum(weight.shape)), self.shrunk, (nn.Linear,))


def _scale(
    model: GPT, std: Callable[[Tensor], float], shrunk: bool, kinds: tuple[Any, ...]
) -> None:
    """Bring the weights of these kinds of modules to the standard deviation `std(weight)`."""
    shrinking = math.sqrt(2 * model.config.n_layers)
    done: list[Tensor] = []
    for name, module in model.named_modules():
        if isinstance(module, kinds) and not any(module.weight is weight for weight in done):
            ends = name.endswith(SHORTCUT_ENDS) and not shrunk
            module.weight.mul_(std(module.weight) / STANDARD_DEVIATION * (shrinking if ends else 1))
            done.append(module.weight)
