"""Whether two sets of weights are the same model: their logits on the same tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from groundup.config import GPTConfig, parameter_shapes
from groundup.model import GPT
from groundup.plan import available_memory
from groundup.weights.pretrained import Stored

N_TOKENS = 32
MARGIN = 1.2
"""Memory that a model and one forward pass of a few tokens take, in sizes of its fp32 weights."""


def comparable(config: GPTConfig) -> str | None:
    """Return why models of this shape cannot be compared on this machine, None where they can."""
    needed = MARGIN * 4 * sum(parameter.size for parameter in parameter_shapes(config))
    available = available_memory()
    if available is None or needed <= available:
        return None
    return (
        f"not read back and compared: in fp32 that takes {needed / 2**30:.1f} GiB, but "
        f"{available / 2**30:.1f} GiB are available"
    )


@torch.inference_mode()
def sample_logits(config: GPTConfig, tensors: dict[str, Stored]) -> Tensor:
    """Return the logits (1, T, V) of a few tokens from all over the vocabulary, in fp32."""
    with torch.device("meta"):
        model = GPT(config)
    state = {name: stored.read().float() for name, stored in tensors.items()}
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    n_tokens = min(N_TOKENS, config.context_length)
    tokens = torch.arange(n_tokens)[None] * 7919 % config.vocab_size
    logits: Tensor = model.eval()(tokens)
    return logits


def largest_difference(first: Tensor, second: Tensor) -> float:
    """Return the largest absolute difference, NaN where one side is not finite."""
    return (first - second).abs().max().item() if first.shape == second.shape else float("nan")
