"""Activation checkpointing: keep what enters a block, compute the rest again.

Chen et al., 2016, "Training deep nets with sublinear memory cost".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(blocks: Iterable[nn.Module], has_dropout: bool) -> None:
    """Let each of a model's blocks keep only its input for the backward pass.

    In place: parameters keep their names. Losses and gradients stay what they are, dropout
    included; a step takes a third more work, and memory grows by D numbers a token and layer.
    """
    for block in blocks:
        block.forward = partial(_again, block.forward, has_dropout)


def _again(forward: Callable[..., Any], has_dropout: bool, *given: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*given)
    return checkpoint(forward, *given, use_reentrant=False, preserve_rng_state=has_dropout)
