"""What `torch.compile` makes of a training step: fewer passes over memory, the same numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from groundup.model import soft_cap
from groundup.optim.step import Step


def compile_step(step: Step[Any]) -> None:
    """Compile the blocks in place, so that parameters keep their names; on a GPU also the loss.

    The blocks are alike, so one compilation serves them all.
    """
    for block in step.blocks:
        block.compile()
    on_gpu = any(p.device.type == "cuda" for p in step.worker.parameters())
    if on_gpu and isinstance(step.loss, partial):  # the fused one
        step.loss = partial(step.loss, row_losses=torch.compile(reduce_and_map, dynamic=False))
    if step.narrow is not None:  # PyTorch's own kernel for unequal formats is half as fast
        step.narrow.add = torch.compile(step.narrow.add, dynamic=True)


def reduce_and_map(
    logits: Tensor, targets: Tensor, softcap: float, vocab_size: int
) -> tuple[Tensor, Tensor]:
    """Return what `losses_and_gradients` does, written as one reduction and one map.

    Compiled, a row (V) is read twice and written once, where each step written out would read
    and write fp32 copies of it.
    """
    columns = torch.arange(logits.shape[1], device=logits.device)
    hit = columns == targets[:, None]  # (R, V)
    scores = soft_cap(softcap)(logits.float())
    derivative = 1 - (scores / softcap).square() if softcap else 1.0
    scores = scores.masked_fill(columns >= vocab_size, -torch.inf)
    peak = scores.amax(dim=-1, keepdim=True)
    weights = (scores - peak).exp()
    total = weights.sum(dim=-1, keepdim=True)
    of_target = torch.where(hit, scores, 0.0).sum(dim=-1)
    losses = (peak + total.log())[:, 0] - of_target
    return losses, ((weights / total - hit.float()) * derivative).to(logits.dtype)
