"""How much arms differ from one of them over paired seeds, and the sentences that say it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from groundup.base.errors import UsageError, nearest
from groundup.base.words import counted
from groundup.lab.conclusions.measured import (
    finite,
    label_of,
    loss_curves,
    lost_word,
    metric_numbers,
)
from groundup.lab.conclusions.predicted import HIGHER, LOWER, as_expected, with_predictions
from groundup.lab.conclusions.statistics import CONFIDENCE, corrected, paired_difference
from groundup.lab.conclusions.words import (
    METRICS,
    capital,
    joined,
    metric_words,
    number,
    p_words,
    range_words,
    reach,
)
from groundup.lab.experiment import Difference, Finding, Results, Table
from groundup.report.charts import IntervalChart, Row


@dataclass(frozen=True)
class _Compared:
    """An arm beside the one it is compared with, at one value of what is swept."""

    arm: str
    label: str
    against: str
    """The other arm's label."""
    ours: Sequence[float]
    theirs: Sequence[float]
    difference: Difference | None = None
    """None where fewer than two pairs are left."""

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Those of which neither is lost."""
        both = zip(self.ours, self.theirs, strict=True)
        return [pair for pair in both if all(map(math.isfinite, pair))]


def differences(
    results: Results,
    metric: str,
    against: str,
    expected: Mapping[str, str] | None = None,
) -> Finding:
    """Conclude how much each arm differs from the arm `against` in a metric, over paired seeds.

    Holm's correction is over all differences, those at all values of what is swept. A loss is in
    nats and better if it is lower; of another metric nothing is said but whether it is lower.
    `expected` says for arms whether LOWER, HIGHER or NO_DIFFERENCE was predicted; the prediction
    came out if each of them is so at every value. Raises `UsageError` for a metric that was not
    measured or an arm that does not exist.
    """
    arms = [arm.name for arm in results.study.arms]
    if against not in arms:
        raise UsageError(f"'{against}' is no arm of {results.study.name}; {nearest(against, arms)}")
    compared = _compare(results, metric, against)
    said = _Words(metric_words(metric), against, metric in METRICS, lost_word(results))
    told = [c.difference for c in compared if c.difference]
    finding = Finding(
        verdict=said.verdict(compared),
        came_out=None,
        differences=told,
        tables=[said.table(compared)],
        charts=[*said.chart(compared), *loss_curves(results)],
        notes=list(said.notes(compared)),
    )
    parts = _parts(compared, expected or {})
    return with_predictions(finding, parts) if parts else finding


def _compare(results: Results, metric: str, against: str) -> list[_Compared]:
    """Return every arm beside `against`, at every value, with corrected differences."""
    compared, found = [], []
    for x in results.study.xs:
        theirs = metric_numbers(results, metric, against, x)
        for arm in (arm.name for arm in results.study.arms if arm.name != against):
            ours = metric_numbers(results, metric, arm, x)
            label, other = (label_of(results, name, x) for name in (arm, against))
            one = _Compared(arm, label, other, ours, theirs)
            compared.append(one)
            if len(one.pairs) > 1:
                first, second = zip(*one.pairs, strict=True)
                found.append(paired_difference(arm, against, metric, first, second, x))
    remaining = iter(corrected(found))
    return [replace(c, difference=next(remaining)) if len(c.pairs) > 1 else c for c in compared]


def _parts(compared: Sequence[_Compared], expected: Mapping[str, str]) -> dict[str, bool | None]:
    """Return each part of what was expected with whether it came out; None if it cannot be told."""
    return {
        f"{expected[c.arm]} for {c.label}": as_expected(c.difference, expected[c.arm])
        if c.difference
        else None
        for c in compared
        if c.arm in expected
    }


def _direction(difference: Difference) -> str:
    return LOWER if difference.mean < 0 else HIGHER


@dataclass(frozen=True)
class _Words:
    """Says differences in a metric from the arm `against`."""

    metric: str
    against: str
    is_loss: bool
    """In nats, and better if lower."""
    lost: str
    """What a value that is not finite is called."""

    def verdict(self, compared: Sequence[_Compared]) -> str:
        """Return one sentence about all that is compared."""
        if len(compared) == 1:
            return self._single(compared[0])
        told = sorted((c for c in compared if c.difference), key=_mean)
        parts = []
        shown = [c for c in told if c.difference and c.difference.seen]
        for direction in (LOWER, HIGHER):
            seen = [c for c in shown if c.difference and _direction(c.difference) == direction]
            names = [f"{c.label} ({self._amount(c.difference)})" for c in seen if c.difference]
            if names:
                parts.append(f"{self._judged(direction)} for {joined(names)}")
        unseen = [c for c in told if c.difference and not c.difference.seen]
        if unseen:
            names = [c.label for c in unseen]
            parts.append(f"no difference seen for {joined(names)} ({self._would_show(unseen)})")
        untold = [f"{c.label} ({self._reason(c)})" for c in compared if not c.difference]
        if untold:
            parts.append(f"cannot be told for {joined(untold)}")
        return f"{capital(self.metric)} against {self.against}: {'; '.join(parts)}."

    def _single(self, one: _Compared) -> str:
        """Return the sentence about the only difference."""
        d = one.difference
        if not d:
            return (
                f"Whether {one.label} and {self.against} differ in {self.metric} cannot be told: "
                f"{self._reason(one)}."
            )
        size = (
            f"{self._amount(d)} (95% interval {range_words(*d.interval)}, "
            f"{counted(d.n_pairs, 'pair')})"
        )
        if d.seen:
            return (
                f"{capital(self.metric)} is {self._judged(_direction(d))} with {one.label} than "
                f"with {self.against}: {size}."
            )
        return (
            f"No difference seen between {one.label} and {self.against} in {self.metric}: {size}; "
            f"{self._would_show([one])}."
        )

    def _amount(self, difference: Difference) -> str:
        return self._with_unit(number(difference.mean, reach(difference), sign=True))

    def _with_unit(self, written: str) -> str:
        return f"{written} nats" if self.is_loss else written

    def _judged(self, direction: str) -> str:
        if not self.is_loss:
            return direction
        return f"{direction} ({'better' if direction == LOWER else 'worse'})"

    def _would_show(self, unseen: Sequence[_Compared]) -> str:
        """Say which differences would have been seen."""
        smallest = max(c.difference.smallest_seen for c in unseen if c.difference)
        if not smallest:
            return "equal in every pair"
        shown = self._with_unit(number(smallest, smallest))
        return f"this would have shown differences of {shown} or more 8 times in 10"

    def _reason(self, one: _Compared) -> str:
        """Say why a difference cannot be told."""
        if len(one.ours) < 2:
            return "one seed makes one pair, and two are the least"
        parts = [
            f"{name}{self.lost} in {lost} of {len(values)} seeds"
            for name, values in (("", one.ours), (f"{self.against} ", one.theirs))
            if (lost := _lost(values))
        ]
        return joined(parts)

    def table(self, compared: Sequence[_Compared]) -> Table:
        """Return a row for each that is compared, below one for what it is compared with."""
        rows: list[list[str]] = []
        for one in compared:
            if one.against not in [row[0] for row in rows]:
                known = finite(one.theirs)
                mean = number(statistics.fmean(known), _scale(compared)) if known else self.lost
                rows.append([one.against, mean, *[""] * 5])
            rows.append(self._row(one))
        return Table(
            title=f"{capital(self._metric_and_unit())}: differences from {self.against}, paired",
            head=("arm", "mean", "difference", "95% interval", "p*", "would show", "pairs"),
            rows=rows,
        )

    def _metric_and_unit(self) -> str:
        return f"{self.metric}, nats" if self.is_loss else self.metric

    def _row(self, one: _Compared) -> list[str]:
        d = one.difference
        pairs = f"{len(one.pairs)} of {len(one.ours)}"
        if not d:
            return [one.label, "", "too few", "", "", "", pairs]
        scale = reach(d)
        return [
            one.label,
            number(statistics.fmean(ours for ours, _ in one.pairs), scale),
            number(d.mean, scale, sign=True),
            range_words(*d.interval),
            p_words(d.adjusted_p),
            number(d.smallest_seen, d.smallest_seen),
            pairs,
        ]

    def chart(self, compared: Sequence[_Compared]) -> list[IntervalChart]:
        """Return the differences beside 0; none where none can be told."""
        rows = []
        for c in compared:
            if d := c.difference:
                low, high = d.interval
                rows.append(Row(name=c.label, value=d.mean, low=low, high=high, seen=d.seen))
            else:
                why = self._reason(c)
                rows.append(
                    Row(name=c.label, value=math.nan, low=math.nan, high=math.nan, remark=why)
                )
        if not any(c.difference for c in compared):
            return []
        return [
            IntervalChart(
                title=f"{capital(self.metric)}: difference from {self.against}",
                rows=rows,
                x_label=self._metric_and_unit() + " (left is better)" * self.is_loss,
            )
        ]

    def notes(self, compared: Sequence[_Compared]) -> Iterator[str]:
        """Say what is to be read with care."""
        told = [(c, c.difference) for c in compared if c.difference]
        for c, d in told:
            if len(c.pairs) < len(c.ours):
                yield f"{c.label}: {self._reason(c)}; the pairs without a loss are compared."
            if d.p < 1 - CONFIDENCE and not d.seen:
                yield (
                    f"{c.label}: the interval leaves out 0, but of {len(told)} differences one may "
                    f"do so by chance; corrected for that, no difference is seen (p* "
                    f"{p_words(d.adjusted_p)})."
                )
            if not reach(d) and d.mean:
                yield (
                    f"{c.label}: all pairs differ by exactly the same. The seed changes nothing "
                    "here, so that the interval says nothing about chance."
                )


def _lost(values: Sequence[float]) -> int:
    return sum(not math.isfinite(value) for value in values)


def _scale(compared: Sequence[_Compared]) -> float:
    """Return the smallest uncertainty of the differences; 0 where none has any."""
    return min((r for c in compared if c.difference and (r := reach(c.difference))), default=0.0)


def _mean(one: _Compared) -> float:
    return one.difference.mean if one.difference else math.nan
