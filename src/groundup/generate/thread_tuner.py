"""How many CPU threads compute the next token: measured on the tokens as they are generated.

Two threads read memory faster than one. But every product waits for its slowest thread, and where
another process keeps a core busy that may take 20 times as long. A trial costs one token written
with fewer threads; there is one at the start, one where a token takes several times as long as the
best has, and one now and then.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from groundup.device.threads import cpu_threads, usable_threads

CLEARLY = 1.15
"""Another number of threads is taken only where it is so many times as fast."""
FIRST = 4
"""Tokens before the first trial: the prompt is read, everything has been called once."""
AGAIN = 200
"""Tokens from trial to trial."""
SLOW = 3.0
"""A token that takes so many times the best one asks for a trial."""
AFTER = 8
"""Tokens to the next trial at the soonest."""


class ThreadTuner:
    """Chooses the threads for each token, by the time that tokens take."""

    def __init__(self, on_cpu: bool = True) -> None:
        self.counts = sorted({1, usable_threads()} if on_cpu else {1})
        self.count = self.counts[-1]
        self.best = float("inf")
        self.latest = 0.0
        self.n_tokens, self.last_trial, self.next_trial = 0, 0, FIRST
        self.trying = False

    @contextlib.contextmanager
    def token(self) -> Iterator[None]:
        """Generate a token with the threads that were quickest, and learn from its time."""
        if len(self.counts) == 1:
            yield
            return
        self.trying = self.n_tokens >= self.next_trial
        other = self.counts[0] if self.count == self.counts[-1] else self.counts[-1]
        begun = time.perf_counter()
        with cpu_threads(other if self.trying else self.count):
            yield
        self._learn(time.perf_counter() - begun, other)

    @contextlib.contextmanager
    def several(self) -> Iterator[None]:
        """Read several tokens with the threads that are best for one; this is not timed."""
        with cpu_threads(self.count):
            yield

    def _learn(self, seconds: float, other: int) -> None:
        """Take the other number of threads where its token was clearly faster than the last."""
        self.n_tokens += 1
        if self.trying:
            self.last_trial, self.next_trial = self.n_tokens, self.n_tokens + AGAIN
            if seconds * CLEARLY < self.latest:
                self.count = other
                self.latest = seconds
            return
        self.latest = seconds
        if self.n_tokens == 1:
            return  # it read the prompt
        if seconds > SLOW * self.best:
            self.next_trial = min(self.next_trial, max(self.n_tokens, self.last_trial + AFTER))
        self.best = min(self.best, seconds)
