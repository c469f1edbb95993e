"""Activation checkpointing: keep what enters a block, compute the rest again.

Chen et al., 2016, "Training deep nets with sublinear memory cost".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from groundup.model import GPT


def checkpoint_blocks(model: GPT) -> None:
    """Let each block of `model` keep only its input for the backward pass.

    In place: parameters keep their names. Losses and gradients stay what they are, dropout
    included; a step takes a third more work, and memory grows by D numbers a token and layer.
    """
    drops = model.config.has_dropout
    for block in model.blocks:
        block.forward = partial(_again, block.forward, drops)


def _again(forward: Callable[..., Any], drops: bool, *given: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*given)
    return checkpoint(forward, *given, use_reentrant=False, preserve_rng_state=drops)
