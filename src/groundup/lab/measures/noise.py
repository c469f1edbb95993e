"""How noisy a gradient is: the gradient noise scale (McCandlish et al., 2018, appendix A.1).

McCandlish et al. 2018, "An empirical model of large-batch training", arXiv:1812.06162
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from groundup.data import TokenSplit
from groundup.data.batches import Batches
from groundup.model import GPT

FEW = 4
"""Sequences in a small batch, which costs less than as many batches of one."""


def noise_scale(model: GPT, split: TokenSplit, seed: int, n_batches: int, few: int = FEW) -> float:
    """Return the simple noise scale tr(S) / |G|^2 of a model's gradient, in sequences.

    G is the gradient over all of the text and S the covariance of a single sequence's. A batch of
    this size has as much noise as signal. Squared norms of the gradients of small batches and of
    the large one that they are together give both without bias. It is infinite where the signal
    cannot be told from nothing.
    """
    batches = Batches(split, model.config.context_length, few, seed, order="random")
    total, small_norm = torch.zeros(0), 0.0
    for tokens, targets in batches.torch(n_batches):
        gradient = _gradient(model, tokens, targets)
        small_norm += float(gradient @ gradient) / n_batches
        total = gradient if not len(total) else total + gradient
    mean = total / n_batches
    large_norm, large = float(mean @ mean), few * n_batches
    signal = (large * large_norm - few * small_norm) / (large - few)
    noise = (small_norm - large_norm) / (1 / few - 1 / large)
    return noise / signal if signal > 0 else math.inf


def _gradient(model: GPT, tokens: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient of the mean loss by all parameters, in one row."""
    loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])
