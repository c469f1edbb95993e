"""The loss at each position, and models that read further than they were trained for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from groundup.data import TokenSplit
from groundup.model import GPT

READ = 20_000
"""About so many tokens are read."""
AT_ONCE = 16
"""Windows in a batch."""

Losses = np.ndarray[Any, np.dtype[np.float64]]


def longer(model: GPT, times: int) -> GPT:
    """Return a model with the same weights that reads so many times as many tokens at once.

    Only one whose positions are not learned has all that it needs.
    """
    config = model.config.replace(context_length=times * model.config.context_length)
    with torch.random.fork_rng(devices=[]):
        further = GPT(config, parts=model.parts)
    further.load_state_dict(model.state_dict())
    return further.eval()


def losses_by_position(model: GPT, split: TokenSplit) -> Losses:
    """Return the mean loss at each position of the model's context (T,), nats a token.

    Over whole windows side by side from the start of `split`, of which there is at least one.
    """
    length = model.config.context_length
    starts = np.arange(min(READ, split.n_tokens - 1) // length) * length
    rows = torch.from_numpy(split.windows(starts, length + 1).astype(np.int64))  # (windows, T + 1)
    with torch.inference_mode():
        losses = torch.cat(
            [
                F.cross_entropy(model(some[:, :-1]).transpose(1, 2), some[:, 1:], reduction="none")
                for some in torch.split(rows, AT_ONCE)
            ]
        )  # (windows, T)
    by_position: Losses = losses.double().mean(dim=0).numpy()
    return by_position
