"""Whether what was predicted came out, where it is more than a direction: three answers.

True and False where the intervals leave no doubt, None where they do.
"""

from __future__ import annotations

from groundup.lab.experiment import Difference, Finding


def every(*told: bool | None) -> bool | None:
    """Return False if one is, else None if one cannot be told, else True."""
    if False in told:
        return False
    return None if None in told else True


def within(interval: tuple[float, float] | None, low: float, high: float) -> bool | None:
    """Return whether a value lies from `low` to `high`, by the interval in which it lies.

    True if all of it does, False if nothing of it does, None in between and where there is none.
    """
    if (
        interval is None
        or (interval[0] < low <= interval[1])
        or (interval[0] <= high < interval[1])
    ):
        return None
    return low <= interval[0] and interval[1] <= high


def difference_of(finding: Finding, arm: str) -> Difference | None:
    """Return the difference of an arm; None where too few of its runs were left."""
    return next((one for one in finding.differences if one.arm == arm), None)


def interval_of(finding: Finding, arm: str) -> tuple[float, float] | None:
    """Return the interval of an arm's difference, likewise."""
    one = difference_of(finding, arm)
    return one.interval if one else None
