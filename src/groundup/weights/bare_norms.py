"""Norms without weights, and a vocabulary that is normed before the first block (nanochat).

A model of ours has weights of 1 there, and the rows of its vocabulary are normed once and for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.base.errors import UsageError
from groundup.config import GPTConfig, parameter_shapes
from groundup.runs.tensor_file import Stored

NORM, EMBEDDING = "normalisation", "token embedding"
"""Parts of a model, as `parameter_shapes` calls them."""
_INSTEAD = "export it with --format safetensors, or use the run itself"


def with_norms(tensors: Mapping[str, Stored], config: GPTConfig) -> dict[str, Stored]:
    """Return all tensors of ours, given those that a model with bare norms has."""
    found: dict[str, Stored] = {}
    for name, shape, part in parameter_shapes(config):
        if part == NORM:
            found[name] = Stored(shape, torch.float32, partial(torch.ones, shape))
        elif part == EMBEDDING:
            normed = partial(_normed, tensors[name], config.norm_eps)
            found[name] = Stored(shape, torch.float32, normed)
        else:
            found[name] = tensors[name]
    return found


def without_norms(tensors: Mapping[str, Stored], config: GPTConfig) -> dict[str, Stored]:
    """Return the tensors of a model with bare norms that computes the same.

    Where there is none, as weights of norms were learnt, it is a `UsageError`: now, or for the
    vocabulary when that is read.
    """
    found = dict(tensors)
    for name, shape, part in parameter_shapes(config):
        if part == NORM and not (found.pop(name).read() == 1).all():
            raise UsageError(f"{name} is not 1 everywhere, but nanochat's norms learn no weights; "
                             f"{_INSTEAD}")  # fmt: skip
        if part == EMBEDDING:
            before = partial(_before_norm, tensors[name], config.norm_eps)
            found[name] = Stored(shape, tensors[name].dtype, before)
    return found


def _normed(rows: Stored, eps: float) -> Tensor:
    return F.rms_norm(rows.read().float(), rows.shape[1:], eps=eps)


def _before_norm(rows: Stored, eps: float) -> Tensor:
    """Return what rows with a mean square of up to 1 were before they were normed."""
    normed = rows.read().double()
    square = normed.square().mean(dim=1, keepdim=True)
    if (square > 1 + 1e-5 + torch.finfo(rows.dtype).eps).any():
        raise UsageError(f"the rows of the token embedding are longer than nanochat, which norms "
                         f"them, can have them; {_INSTEAD}")  # fmt: skip
    return (normed * (eps / (1 - square).clamp(min=1e-7)).sqrt()).to(rows.dtype)
