"""Several tokens from one reading, where the text repeats itself (prompt lookup: Saxena, 2023).

What followed the newest tokens when they last occurred is a guess at what follows now. Memory is
read once for a whole guess, so that reading a few tokens takes hardly longer than reading one.

The text is the one that is written without guesses. A guess of which the model gives no
probabilities of its own is accepted with the probability that the model gives it, and what replaces
it is drawn from the rest (Leviathan et al., 2023; Chen et al., 2023); that is the same as drawing
from the model's distribution as ever and going on while the draw equals the guess. So every token
is drawn so, by the random number that would have been its own.

Reading several tokens at once rounds otherwise than reading them one by one. Where the two best
scores lie so near each other that this may decide, greedy writing falls back to one by one: from
the first token in the cache that was not read so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.generate.sampling import SamplingConfig, next_tokens, penalised
from groundup.generate.thread_tuner import ThreadTuner
from groundup.generate.windows import (
    COMPILED,
    CachedReader,
    scores_of,
    window_start,
    without_compiling,
)
from groundup.model import GPT

SIZES = (8, 4, 2)
"""Where these many newest tokens occurred before is remembered; the longest one found counts."""

LONGEST_MATCH, LONGEST_GUESS = 16, 31

WORTH = 1.1
"""A guess is made where so many tokens are expected for the time of one: what is learned of a text
is never exact, and where little is to be won, nothing is risked."""

TIE = 3e-5
"""Scores closer than this part of the largest one count as equal: ten times the rounding of
fp32 that was measured (SmolLM2-135M, readings of 2 to 32 tokens: at most 3e-6)."""


class Guesses:
    """Guesses at what follows `tokens`, as long as experience says is worth it.

    Each token added tells whether a guess of it would have been right, whether one was made or not:
    what a match of so many tokens is worth is learned from the text itself, at no cost.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens: list[int] = []
        self.after: dict[tuple[int, ...], int] = {}
        self.source = 0
        self.matched = 0
        self.rates = [n / (n + 3) for n in range(LONGEST_MATCH + 1)]
        for token in tokens:
            self.add(token)

    def add(self, token: int) -> None:
        """Take the next token of the text."""
        if self.matched:
            right = self.tokens[self.source] == token
            self.rates[self.matched] += (right - self.rates[self.matched]) / 20
        self.tokens.append(token)
        n_tokens, found = len(self.tokens), None
        for size in SIZES:
            if size <= n_tokens:
                newest = tuple(self.tokens[-size:])
                found = found or self.after.get(newest)
                self.after[newest] = n_tokens
        self.source, self.matched = found or 0, self._match(found) if found else 0

    def _match(self, source: int) -> int:
        """Return how many tokens before `source` are the newest ones, as far as it matters."""
        tokens, shift = self.tokens, len(self.tokens) - source
        first = max(0, source - LONGEST_MATCH)
        at = source - 1
        while at >= first and tokens[at] == tokens[at + shift]:
            at -= 1
        return source - 1 - at

    def next(self, limit: int) -> list[int]:
        """Return the guess at the next tokens, at most `limit`; empty where none is worth it."""
        length = self._length(limit) if self.matched else 0
        guess = self.tokens[self.source : self.source + length]
        while len(guess) < length:  # the text goes round in a circle
            guess += guess[: length - len(guess)]
        return guess

    def _length(self, limit: int) -> int:
        """Return the length with the most tokens to expect for what the reading costs."""
        best, most, reached, expected = 0, WORTH, 1.0, 1.0
        for length in range(1, min(limit, LONGEST_GUESS) + 1):
            reached *= self.rates[min(self.matched + length - 1, LONGEST_MATCH)]
            expected += reached
            if expected > most * cost(1 + length):
                best, most = length, expected / cost(1 + length)
        return best


def cost(n_tokens: int) -> float:
    """Return how much longer reading `n_tokens` takes than reading one, at most.

    Measured with fp32 on two cores with 10M to 135M parameters: 1.15 for 3 tokens, 2.3 for 8, 2.2
    for 16, 2.8 for 32.
    """
    return min(1 + 0.2 * (n_tokens - 1), 2 + 0.035 * n_tokens)


class AheadReader(CachedReader):
    """Reads the only row's last token and a guess at the next ones, or reads again one by one."""

    def __init__(self, model: GPT, capacity: int) -> None:
        super().__init__(model, 1, capacity)
        self.context = model.config.context_length
        self.start = 0
        self.exact = capacity
        """So many columns of the cache are what they would be without guesses."""
        self.n_at_once = 0
        """So many were read at once, when the window last moved."""

    @property
    def is_exact(self) -> bool:
        """Tell whether the whole cache is what it would be without guesses."""
        return self.exact == self.cache.capacity

    def room(self, row: Sequence[int]) -> int:
        """Return how many tokens may be guessed before the window moves or the cache is full."""
        return window_start(len(row), self.context) + self.cache.capacity - len(row)

    def read_ahead(self, row: Sequence[int], guess: Sequence[int]) -> Float[Tensor, "T V"]:
        """Return the scores of what follows the last token of `row`, and each of the guess."""
        start = window_start(len(row), self.context)
        if start != self.start:  # what remains is read anew
            self.start, self.exact = start, self.cache.capacity
        if self.cache.lengths[0] != len(row) - 1 - start:
            self.n_at_once = len(row) - 1 - start
        self._prefill([row])
        if not guess:
            return self.read_one([row[-1]])
        self.exact = min(self.exact, self.cache.lengths[0])
        return scores_of(self.model, [[row[-1], *guess]], self.cache)[0]

    def keep_first(self, n_read: int, n_kept: int) -> None:
        """Forget all but the first `n_kept` of the `n_read` tokens that were read last."""
        self.cache.set_lengths([self.cache.lengths[0] - n_read + n_kept])

    def read_exactly(self, row: Sequence[int]) -> Float[Tensor, "1 V"]:
        """Return the scores of the next token, the inexact columns read again one by one."""
        first = min(self.exact, len(row) - 1 - self.start)
        if self.cache.holds(0, first):
            self.cache.set_lengths([first])
        else:  # a ring has lost what stood before: from where the window last moved
            first = self.n_at_once
            self.cache.set_lengths([0])
            self._prefill([row[: self.start + first + 1]])
        for token in row[self.start + first :]:
            scores = self.read_one([token])
        self.exact = self.cache.capacity
        return scores


def can_look_up(model: GPT) -> bool:
    """Tell whether reading several tokens at once differs by no more than the rounding of fp32.

    It does for this package's own modules in fp32 on a CPU. Others may compute anything, 16 bits
    round too coarsely, and a GPU has quicker ways, as has a model that was compiled.
    """
    own = ("torch.nn.", "groundup.model.")
    plain = all(type(module).__module__.startswith(own) for module in model.modules())
    plain = plain and model not in COMPILED
    return plain and all(
        p.dtype == torch.float32 and p.device.type == "cpu" for p in model.parameters()
    )


def look_up(
    model: GPT,
    row: list[int],
    sampling: SamplingConfig,
    random: torch.Generator,
    vocab_size: int | None = None,
) -> Iterator[int]:
    """Append to `row`, and yield, the tokens that would be written one by one."""
    capacity = min(len(row) + sampling.max_tokens, model.config.context_length)
    reader, guesses, tuner = AheadReader(model, capacity), Guesses(row), ThreadTuner()
    left = sampling.max_tokens
    while left:
        guess = guesses.next(min(reader.room(row), left - 1))
        with tuner.several() if guess else tuner.token():
            tokens = _next(reader, row, guess, sampling, random, vocab_size)
        left -= len(tokens)
        for token in tokens:
            row.append(token)
            guesses.add(token)
            yield token


def _next(
    reader: AheadReader,
    row: list[int],
    guess: list[int],
    sampling: SamplingConfig,
    random: torch.Generator,
    vocab_size: int | None,
) -> list[int]:
    """Return the next token and those that follow it as far as the guess is right."""
    with torch.inference_mode(), without_compiling():
        logits: Tensor = reader.read_ahead(row, guess)[:, :vocab_size]
        may_round = sampling.temperature == 0 and not reader.is_exact
        tokens: list[int] = []
        for scores, guessed in zip(logits[:, None].unbind(), [*guess, None], strict=True):
            history = [row + tokens]
            if may_round and _tied(scores, sampling, history):
                break
            tokens += next_tokens(scores, sampling, [random], history)
            if tokens[-1] != guessed:
                break
        if tokens:
            reader.keep_first(1 + len(guess), len(tokens))
            return tokens
        scores = reader.read_exactly(row)[:, :vocab_size]
        return next_tokens(scores, sampling, [random], [row])


def _tied(scores: Float[Tensor, "1 V"], sampling: SamplingConfig, history: list[list[int]]) -> bool:
    """Tell whether the two best scores are as good as equal."""
    if sampling.repetition_penalty != 1:
        scores = penalised(scores, history, sampling.repetition_penalty)
    return int((scores >= scores.max() - TIE * scores.abs().max()).sum()) > 1
