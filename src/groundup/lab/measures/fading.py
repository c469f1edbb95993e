"""What the lack of shortcuts does to an untrained transformer: gradients that fade, equal tokens.

The gradient that *enters a block*, going backwards, is that of the loss with respect to what leaves
it. The gradient of its weights is made of that and of what came in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from groundup.lab.experiment import Setting, Values
from groundup.lab.measures.initialisation import first_pass

N_SEQUENCES = 2


def measure_gradients(setting: Setting) -> Values:
    """Return the norms of gradients in each block of an untrained model, the first block first.

    entering_gradients: of the loss with respect to what leaves the block (B, T, D), Frobenius;
    weight_gradients: with respect to all its matrices together.
    """
    done = first_pass(setting, N_SEQUENCES)
    return {
        "entering_gradients": [_norm([stream]) for stream in done.streams[1:]],
        "weight_gradients": [
            _norm([p for p in block.parameters() if p.dim() > 1]) for block in done.model.blocks
        ],
    }


def measure_cosine(setting: Setting) -> Values:
    """Return the mean cosine between the vectors of two tokens of a sequence, last block's end."""
    stream = first_pass(setting, N_SEQUENCES).streams[-1].detach().double()
    return {"cosine": mean_cosine(stream)}


def mean_cosine(stream: Tensor) -> float:
    """Return the mean cosine between two different vectors of a sequence, of `stream` (B, T, D)."""
    n_tokens = stream.shape[1]
    total = F.normalize(stream, dim=-1).sum(dim=1).square().sum(dim=-1)  # (B,), pairs with itself
    return ((total - n_tokens) / (n_tokens * (n_tokens - 1))).mean().item()


def _norm(tensors: Sequence[Tensor]) -> float:
    """Return the norm of all gradients together, in double precision."""
    squares = (t.grad.double().square().sum().item() for t in tensors if t.grad is not None)
    return math.sqrt(math.fsum(squares))
