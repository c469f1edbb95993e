"""Predictions of several parts: which of them came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from groundup.lab.experiment import Finding, Table

ANSWERS = {True: "yes", False: "no", None: "cannot be told"}


def with_predictions(finding: Finding, parts: Mapping[str, bool | None]) -> Finding:
    """Return a finding with a table that says of each part of the prediction whether it came out.

    The whole came out if all parts did; where one did not, it did not; else it cannot be told.
    """
    answers = list(parts.values())
    table = Table(
        title="What was predicted",
        head=("prediction", "came out"),
        rows=[[part, ANSWERS[answer]] for part, answer in parts.items()],
    )
    return replace(
        finding,
        came_out=False if False in answers else None if None in answers else True,
        tables=[*finding.tables, table],
        figures={**finding.figures, "predictions": dict(parts)},
    )


def largest(finding: Finding) -> Mapping[str, float]:
    """Return from a sweep's finding the largest value at which each arm trains, 0 for none."""
    found = finding.figures["largest_that_trains"]
    return {arm: value or 0.0 for arm, value in found.items()}
