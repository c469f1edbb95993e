"""Predictions of several parts: which of them came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from groundup.lab.conclusions.words import joined
from groundup.lab.experiment import Difference, Finding, Table

LOWER, HIGHER, NO_DIFFERENCE = "lower", "higher", "no difference"
PREDICTED_TITLE = "What was predicted"
ANSWERS = {True: "yes", False: "no", None: "cannot be told"}


def with_predictions(finding: Finding, parts: Mapping[str, bool | None]) -> Finding:
    """Return a finding with a table that says of each part of the prediction whether it came out.

    The whole came out if all parts did; where one did not, it did not, and the verdict names it,
    which is no part of the answer; else it cannot be told.
    """
    wrong = [part for part, answer in parts.items() if answer is False]
    answers = list(parts.values())
    table = Table(
        title=PREDICTED_TITLE,
        head=("prediction", "came out"),
        rows=[[part, ANSWERS[answer]] for part, answer in parts.items()],
    )
    return replace(
        finding,
        verdict=f"{finding.verdict} Predicted, but not so: {joined(wrong)}."
        if wrong
        else finding.verdict,
        answer=finding.answer or finding.verdict,
        came_out=False if wrong else None if None in answers else True,
        tables=[*finding.tables, table],
        figures={**finding.figures, "predictions": dict(parts)},
    )


def largest(finding: Finding) -> Mapping[str, float]:
    """Return from a sweep's finding the largest value at which each arm trains, 0 for none."""
    found = finding.figures["largest_that_trains"]
    return {arm: value or 0.0 for arm, value in found.items()}


def is_seen(finding: Finding, arm: str, expected: str, x: float = 0.0) -> bool | None:
    """Return whether an arm's difference at `x` is LOWER, HIGHER or NO_DIFFERENCE, as expected.

    None where too few of its runs were left to tell, and as in `as_expected`.
    """
    one = _difference(finding, arm, x)
    return None if one is None else as_expected(one, expected)


def as_expected(one: Difference, expected: str) -> bool | None:
    """Return whether a difference is LOWER, HIGHER or NO_DIFFERENCE, as expected.

    None where one was expected and none is seen: a smaller one than the seeds show may be there.
    """
    if expected == NO_DIFFERENCE:
        return not one.seen
    return (one.mean < 0) == (expected == LOWER) if one.seen else None


def differs_by(finding: Finding, arm: str, low: float, high: float, x: float = 0.0) -> bool | None:
    """Return whether an arm's difference at `x` is from `low` to `high`, by its 95% interval.

    None where the interval is neither inside nor outside, and where there is none.
    """
    one = _difference(finding, arm, x)
    return None if one is None else within(one.interval, low, high)


def within(interval: tuple[float, float], low: float, high: float) -> bool | None:
    """Return whether what lies in an interval lies from `low` to `high`; None if it may or not."""
    if low <= interval[0] and interval[1] <= high:
        return True
    return False if interval[1] < low or high < interval[0] else None


def _difference(finding: Finding, arm: str, x: float) -> Difference | None:
    return next((one for one in finding.differences if (one.arm, one.x) == (arm, x)), None)
