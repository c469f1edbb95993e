"""What other programs do with the cores that this process may use, as Linux tells it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")


class Load(NamedTuple):
    """How many cores were used by others, and how many by nobody, on average."""

    others: float
    idle: float


class CoreWatch:
    """Tells the load since it was last asked; `None` where the system does not say."""

    def __init__(self) -> None:
        self._last = _now()

    def look(self) -> Load | None:
        """Return the load since the last look; `None` if that was less than a tick ago."""
        before, self._last = self._last, (now := _now())
        if before is None or now is None:
            return None
        total, idle, own = (new - old for new, old in zip(now, before, strict=True))
        if total <= 0:
            return None
        cores = len(os.sched_getaffinity(0))
        seconds = total / cores
        idle_cores = max(0.0, idle / seconds)
        return Load(max(0.0, cores - idle_cores - own / seconds), idle_cores)


def _now() -> tuple[float, float, float] | None:
    """Return the seconds of all usable cores, those spent idle, and those of this process."""
    try:
        lines = STAT.read_text().splitlines()
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    except (OSError, AttributeError):
        return None
    rows = [line.split() for line in lines if line.partition(" ")[0] in usable]
    # user, nice, system, idle, iowait, irq, softirq, steal: the rest is counted in these.
    ticks = [[int(number) for number in row[1:9]] for row in rows]
    a_second = os.sysconf("SC_CLK_TCK")
    own = time.process_time()
    return sum(map(sum, ticks)) / a_second, sum(row[3] + row[4] for row in ticks) / a_second, own
