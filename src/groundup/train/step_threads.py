"""How many CPU threads compute a step, by what other programs leave of the cores.

Every product of several threads waits for the one that has lost its core to another program: beside
one busy program two threads were measured at less than half the speed of one. So where others use a
core, fewer threads are tried for some steps, and where cores are idle, more; the faster stay.
"""

from __future__ import annotations

import time

from groundup.base.load import CoreWatch

WINDOW = 1.0
"""Seconds from one look at what others do to the next."""
BUSY, IDLE = 0.2, 0.5
"""Cores that others use, or that nobody uses, from which another number of threads is tried."""
TRIAL_STEPS, TRIAL_SECONDS = 2, 0.4
"""Steps of a trial at least, and seconds."""
CLEARLY = 1.05
"""Another number of threads is kept where it is so many times as fast."""
SOONEST, SELDOM = 5.0, 80.0
"""Seconds from one trial to the next; twice as many after each that changed nothing, up to this."""
SHARE = 0.01
"""The same as a share of the time that has gone: a long run has no more decisions than a short."""


class StepThreads:
    """Chooses among 1, 2, 4 ... and all usable threads, by the time that steps take."""

    def __init__(self, most: int, watch: CoreWatch | None = None) -> None:
        self.counts = _doubled(most)
        self.count = most
        self._watch = CoreWatch() if watch is None else watch
        self._begun = self._next = time.perf_counter()
        self._wait = SOONEST
        self._steps, self._seconds, self._tokens = 0, 0.0, 0
        self._other: int | None = 0
        """The number of threads that the last look spoke for; at first that may be any."""
        self._before: tuple[int, float] | None = None
        """While others are tried: the number of threads before, and what a token took with it."""

    def take(self, count: int) -> None:
        """Go on with so many threads, as they were decided."""
        if count != self.count:
            self.count, self._before = count, None
            self._forget()

    def add(self, seconds: float, tokens: int) -> None:
        """Note a step that took so long and learnt from so many tokens."""
        self._steps += 1
        self._seconds += seconds
        self._tokens += max(1, tokens)

    def choose(self) -> int:
        """Return the threads of the next step."""
        per_token = self._seconds / max(1, self._tokens)
        if self._before is not None:
            if self._steps >= TRIAL_STEPS and self._seconds >= TRIAL_SECONDS:
                self._end_trial(per_token)
        elif self._seconds >= WINDOW:
            load, now = self._watch.look(), time.perf_counter()
            self._forget()
            if load is not None and now >= self._next:
                fewer, more = self._neighbours()
                other = fewer if load.others > BUSY else more if load.idle > IDLE else None
                # At the first look, most steps may be from before the load came or went.
                if other is not None and self._other in (other, 0):
                    self._before, self.count = (self.count, per_token), other
                self._other = other
        return self.count

    def _end_trial(self, per_token: float) -> None:
        """Keep the threads that were tried, or take those from before."""
        assert self._before is not None, "a trial is under way"
        count, before = self._before
        if per_token * CLEARLY > before:
            self.count, self._wait = count, min(2 * self._wait, SELDOM)
        else:
            self._wait = SOONEST
        now = time.perf_counter()
        self._next = now + max(self._wait, SHARE * (now - self._begun))
        self._before = None
        self._forget()
        self._watch.look()

    def _neighbours(self) -> tuple[int | None, int | None]:
        place = self.counts.index(self.count)
        fewer = self.counts[place - 1] if place else None
        more = self.counts[place + 1] if place + 1 < len(self.counts) else None
        return fewer, more

    def _forget(self) -> None:
        self._steps, self._seconds, self._tokens = 0, 0.0, 0


def _doubled(most: int) -> list[int]:
    """Return 1, 2, 4 and so on, and at last `most`."""
    return [*(1 << n for n in range((most - 1).bit_length())), most]
