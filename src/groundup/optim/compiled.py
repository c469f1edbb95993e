"""What `torch.compile` makes of a training step: fewer passes over memory, the same numbers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from groundup.model import GPT, soft_cap
from groundup.optim.step import TrainStep


def compile_step(step: TrainStep) -> None:
    """Compile the blocks in place, so that parameters keep their names; on a GPU also the loss.

    The blocks are alike, so one compilation serves them all.
    """
    worker: GPT = step.worker
    for block in worker.blocks:
        block.compile()
    if isinstance(step.loss, partial) and worker.device.type == "cuda":  # the fused one
        step.loss = partial(step.loss, slopes=torch.compile(slopes, dynamic=False))
    if step.narrow is not None:  # PyTorch's own kernel for unequal formats is half as fast
        step.narrow.add = torch.compile(step.narrow.add, dynamic=True)


def slopes(
    logits: Tensor, targets: Tensor, softcap: float, vocab_size: int
) -> tuple[Tensor, Tensor]:
    """Return what `groundup.optim.cross_entropy.slopes` does, written as one reduction and one map.

    Compiled, a row (V) is read twice and written once, where each step written out would read
    and write fp32 copies of it.
    """
    columns = torch.arange(logits.shape[1], device=logits.device)
    hit = columns == targets[:, None]  # (R, V)
    scores = soft_cap(softcap)(logits.float())
    bend = 1 - (scores / softcap).square() if softcap else 1.0
    scores = scores.masked_fill(columns >= vocab_size, -torch.inf)
    peak = scores.amax(dim=-1, keepdim=True)
    shares = (scores - peak).exp()
    total = shares.sum(dim=-1, keepdim=True)
    of_target = torch.where(hit, scores, 0.0).sum(dim=-1)
    losses = (peak + total.log())[:, 0] - of_target
    return losses, ((shares / total - hit.float()) * bend).to(logits.dtype)
