"""From the scores of all possible next tokens to one of them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.base.errors import GroundupError
from groundup.config.fields import check_types, require


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How tokens are chosen and when to stop; by default from all tokens, at temperature 0.8.

    The filters apply in the order of the fields. Raises `ConfigError`, one line naming the field,
    for a value that makes no sense.
    """

    max_tokens: int = 100
    """Most tokens written."""
    repetition_penalty: float = 1.0
    """Divides positive scores of tokens seen before, multiplies negative ones; 1 is off
    (Keskar et al., 2019, section 4.1)."""
    temperature: float = 0.8
    """Divides all scores: below 1 bolder, above 1 more random; 0 takes the highest (greedy)."""
    top_k: int = 0
    """Keep the k most probable tokens, and those equal to the last of them; 0 is off."""
    top_p: float = 1.0
    """Keep the fewest most probable tokens that hold this share of the probability; 1 is off
    (Holtzman et al., 2020)."""
    min_p: float = 0.0
    """Keep tokens at least this fraction as probable as the most probable one; 0 is off
    (Nguyen et al., 2024)."""
    seed: int | None = None
    """Row i of a batch draws from seed + i; None is a new seed each time."""
    stop: str | Sequence[str] = ()
    """Strings that end a text; they are not part of it."""
    stop_tokens: Sequence[int] = ()
    """Ids that end a text, as the end-of-text token always does."""
    start_token: int | None = None
    """The id that stands before every prompt, where the model was trained so."""

    def __post_init__(self) -> None:
        for name in ("stop", "stop_tokens"):
            value = getattr(self, name)
            require(isinstance(value, Iterable), name, value, "a list")
        object.__setattr__(self, "stop_tokens", tuple(self.stop_tokens))
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        object.__setattr__(self, "stop", stop)
        check_types(self)
        t, penalty = self.temperature, self.repetition_penalty
        require(self.max_tokens >= 0, "max_tokens", self.max_tokens, "0 or more")
        require(0 < penalty < math.inf, "repetition_penalty", penalty, "above 0; 1 is off")
        require(0 <= t < math.inf, "temperature", t, "0 (greedy) or more, such as 0.8")
        require(self.top_k >= 0, "top_k", self.top_k, "0 (off) or more")
        require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0, at most 1 (off)")
        require(0 <= self.min_p <= 1, "min_p", self.min_p, "from 0 (off) to 1")
        require(self.seed is None or 0 <= self.seed < 1 << 63, "seed", self.seed, "0 or more")
        are_texts = all(isinstance(text, str) and text for text in stop)
        require(are_texts, "stop", stop, "strings of at least one character")


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
