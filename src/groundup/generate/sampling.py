"""From the logits of all possible next tokens to one of them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.base.errors import GroundupError
from groundup.config.sampling import SamplingConfig as SamplingConfig


def generators(seed: int | None, n_rows: int) -> list[torch.Generator]:
    """Return a random generator for each row, on the CPU whatever the model's device."""
    first = secrets.randbits(62) if seed is None else seed
    return [torch.Generator().manual_seed(first + row) for row in range(n_rows)]


def next_tokens(
    logits: Float[Tensor, "B V"],
    sampling: SamplingConfig,
    generators: Sequence[torch.Generator],
    history: Sequence[Sequence[int]],
) -> list[int]:
    """Choose a token for each row of `logits`; a row consumes one number of its own generator.

    `history` is each row's tokens so far, for the repetition penalty. Raises `GroundupError`
    where the logits are not numbers.
    """
    logits = logits.float()
    peaks = logits.amax(dim=-1)
    if sampling.repetition_penalty != 1:
        logits = penalised(logits, history, sampling.repetition_penalty)
    if sampling.temperature == 0:
        chosen = logits.argmax(dim=-1)
    else:
        chosen = _draw(filtered(logits, sampling).softmax(dim=-1), generators)
    # One copy from the device a step: each waits until the device has nothing left to do.
    numbers = torch.stack([peaks, chosen.to(peaks)]).tolist()
    if not all(map(math.isfinite, numbers[0])):
        raise GroundupError(
            "the model's scores are not finite numbers, as after a training that diverged; use an "
            "earlier checkpoint, or train again with a smaller learning_rate"
        )
    return [int(token) for token in numbers[1]]


def penalised(
    logits: Float[Tensor, "B V"], history: Sequence[Sequence[int]], penalty: float
) -> Float[Tensor, "B V"]:
    """Return `logits` with the tokens of each row's history made less probable."""
    logits = logits.clone()
    for row, tokens in zip(logits, history, strict=True):
        seen = torch.tensor(tokens, device=logits.device)
        scores = row[seen]
        row[seen] = torch.where(scores > 0, scores / penalty, scores * penalty)
    return logits


def filtered(logits: Float[Tensor, "B V"], sampling: SamplingConfig) -> Float[Tensor, "B V"]:
    """Apply temperature, top-k, top-p and min-p; the tokens that fall out score -inf."""
    # Measured from the best score, no temperature is too low: the best stays 0.
    temperature = max(sampling.temperature, torch.finfo(logits.dtype).tiny)
    logits = (logits - logits.amax(dim=-1, keepdim=True)) / temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        last_kept = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < last_kept, -math.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        ordered = ordered.masked_fill(before >= sampling.top_p, -math.inf)
        logits = logits.scatter(-1, order, ordered)
    if sampling.min_p > 0:
        logits = logits.masked_fill(logits < math.log(sampling.min_p), -math.inf)
    return logits


def _draw(
    probabilities: Float[Tensor, "B V"], generators: Sequence[torch.Generator]
) -> Int[Tensor, " B"]:
    """Find where one uniform random number falls on each row's cumulative distribution."""
    if probabilities.device.type == "mps":  # which has no fp64
        probabilities = probabilities.cpu()
    cumulative = probabilities.double().cumsum(dim=-1)
    numbers = [torch.rand(1, generator=g, dtype=torch.float64) for g in generators]
    # Below the total, as the numbers are below 1.
    points = torch.stack(numbers).to(cumulative.device) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, points, right=True)[:, 0]
