"""Runs side by side: what differs in their settings, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groundup.base.errors import UsageError
from groundup.base.files import write_text
from groundup.plan.units import duration
from groundup.plan.units import number as short
from groundup.report.charts import Chart, Series
from groundup.report.figure import chart_figure
from groundup.report.page import Section, esc, figure, fold, page, table
from groundup.report.points import smooth, spread
from groundup.report.sections import newest_sample
from groundup.runs.assistant import GRPO, OF_PAIRS, SFT, objective_of
from groundup.runs.classifier import CLASSIFIER
from groundup.runs.folder import flatten
from groundup.runs.record import Point, RunRecord, number, read_run

CURVE_POINTS = 1000
"""Points of a curve that `Comparison.as_dict` gives."""
CAUSES = ("model.", "train.", "data.", "job.settings.")
"""What determines a run in run.toml; the rest follows from it or says where it ran."""


@dataclass(frozen=True)
class ComparedRun:
    """A run in a comparison; None where a figure was not measured, or is no finite number."""

    name: str
    state: str
    kind: str
    parameters: int
    step: int
    tokens: float | None
    seconds: float | None
    best_val_loss: float | None
    final_val_loss: float | None
    best_bits_per_byte: float | None
    final_bits_per_byte: float | None


@dataclass(frozen=True)
class Difference:
    """A key of run.toml with its value in each run, None where a run does not have it."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Comparison:
    """Two or more runs; every tuple of values is in the order of `outcomes`.

    `same_losses` tells whether losses per token compare; `notes` says why not in words.
    """

    outcomes: tuple[ComparedRun, ...]
    differences: tuple[Difference, ...]
    same_losses: bool
    notes: tuple[str, ...]
    curves: tuple[dict[str, list[Point]], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)


def compare_runs(a: Path, b: Path, *more: Path) -> Comparison:
    """Compare the run folders `a`, `b` and any more; raises `RunError` for one that is no run."""
    return _compare([read_run(path) for path in (a, b, *more)])


def write_comparison(runs: Sequence[Path], out: Path) -> Path:
    """Write a page that overlays the curves of two or more runs, and return its path `out`."""
    if len(runs) < 2:
        raise UsageError(f"compare takes two or more runs, but {len(runs)} given; name another")
    records = [read_run(path) for path in runs]
    comparison = _compare(records)
    names = [outcome.name for outcome in comparison.outcomes]
    notes = "".join(f'<p class="alert">{esc(note)}</p>' for note in comparison.notes)
    header = f"<h1>{esc(' · '.join(names))}</h1><p>{len(names)} runs side by side.</p>{notes}"
    sections = [
        Section("outcome", "What came of them", _outcome_table(comparison)),
        Section("curves", "Curves", _charts(records, names, comparison.same_losses)),
        Section("differences", "What differs", _difference_tables(comparison)),
        Section("samples", "Newest samples", _samples(records, names)),
    ]
    write_text(out, page(f"{' · '.join(names)} – groundup comparison", header, sections))
    return out


def _compare(runs: Sequence[RunRecord]) -> Comparison:
    notes = _notes(runs)
    keys = ["train_loss", "val_loss", "val_bits_per_byte"]
    return Comparison(
        outcomes=tuple(map(_outcome, runs, _names(runs))),
        differences=tuple(_differences(runs)),
        same_losses=not notes,
        notes=tuple(notes),
        curves=tuple(
            {key: _plain(spread(run.points(key), CURVE_POINTS)) for key in keys} for run in runs
        ),
    )


def _names(runs: Sequence[RunRecord]) -> list[str]:
    """Return the runs' names, with their folders where two have the same name."""
    names = [run.name for run in runs]
    return [
        str(run.path) if names.count(name) > 1 else name
        for run, name in zip(runs, names, strict=True)
    ]


def _plain(points: Sequence[Point]) -> list[Point]:
    return [p for p in points if math.isfinite(p[1])]  # JSON has no NaN


def _outcome(run: RunRecord, name: str) -> ComparedRun:
    bits = [y for _, y in run.points("val_bits_per_byte") if math.isfinite(y)]
    return ComparedRun(
        name=name,
        state=run.state,
        kind=run.manifest.kind,
        parameters=run.parameters,
        step=run.step,
        tokens=run.last("tokens"),
        seconds=run.last("seconds"),
        best_val_loss=number(run.best["val_loss"]) if run.best else None,
        final_val_loss=run.last("val_loss"),
        best_bits_per_byte=min(bits, default=None),
        final_bits_per_byte=run.last("val_bits_per_byte"),
    )


def _differences(runs: Sequence[RunRecord]) -> list[Difference]:
    flat = [flatten(run.manifest.as_table()) for run in runs]
    found_keys = dict.fromkeys(key for values in flat for key in values)
    tables = list(dict.fromkeys(key.partition(".")[0] for key in found_keys))
    keys = sorted(found_keys, key=lambda key: tables.index(key.partition(".")[0]))
    found = [Difference(key, tuple(values.get(key) for values in flat)) for key in keys]
    found = [d for d in found if not d.key.startswith("own.")]  # whose run it is
    return [d for d in found if any(value != d.values[0] for value in d.values[1:])]


def _notes(runs: Sequence[RunRecord]) -> list[str]:
    """Say why losses per token do not compare, if they do not."""
    data = [run.manifest.data for run in runs]

    def differ(*keys: str) -> bool:
        return any(getattr(d, key) != getattr(data[0], key) for d in data for key in keys)

    kinds = {objective_of(run.manifest) or run.manifest.kind for run in runs}
    if len(kinds) > 1:
        return [
            f"These runs are trainings of several kinds ({_named(kinds)}): their losses are of "
            "different things, and do not compare."
        ]
    if kinds <= {SFT, GRPO, *OF_PAIRS}:
        return _notes_of_assistants(differ)
    if not differ("fingerprint"):
        return []
    if kinds == {CLASSIFIER}:
        return ["These classifiers learnt from different records: their losses do not compare."]
    if differ("train_bytes", "val_bytes"):
        return [
            "These runs were trained and validated on different texts: their losses do not "
            "compare, and bits per byte only say how well each predicts its own text."
        ]
    return [
        "These runs cut their text into different tokens: losses per token do not compare. "
        "Compare bits per byte."
    ]


def _named(kinds: set[str]) -> str:
    """Return kinds in words, those of assistants by their objective."""
    of_assistants = (SFT, GRPO, *OF_PAIRS)
    return ", ".join(f"assistant by {k}" if k in of_assistants else k for k in sorted(kinds))


def _notes_of_assistants(differ: Callable[..., bool]) -> list[str]:
    """Say why losses per token of the replies do not compare, if they do not."""
    if differ("fingerprint"):
        return ["These assistants learnt from different records: their losses do not compare."]
    if differ("tokenizer_fingerprint", "val_tokens", "val_documents"):
        return [
            "These assistants read the dialogues that validate them as different tokens (by their "
            "tokenizer, chat template or max_length): their losses do not compare."
        ]
    return []


def _outcome_table(comparison: Comparison) -> str:
    lines: list[tuple[str, list[str]]] = [
        (label, [write(getattr(outcome, field)) for outcome in comparison.outcomes])
        for label, field, write in (
            ("state", "state", esc),
            ("kind", "kind", esc),
            ("parameters", "parameters", short),
            ("steps", "step", lambda step: f"{step:,}"),
            ("tokens learnt from", "tokens", lambda tokens: short(tokens or 0)),
            ("training time", "seconds", lambda seconds: duration(seconds or 0.0)),
            ("best bits per byte", "best_bits_per_byte", figure),
            ("final bits per byte", "final_bits_per_byte", figure),
            ("best validation loss", "best_val_loss", figure),
            ("final validation loss", "final_val_loss", figure),
        )
    ]
    head = ["", *(esc(outcome.name) for outcome in comparison.outcomes)]
    caption = "Final: over the whole validation split where the run finished"
    return table(head, [[label, *values] for label, values in lines], caption, "figures")


def _charts(records: Sequence[RunRecord], names: Sequence[str], same_losses: bool) -> str:
    """Return validation curves over tokens and over time; in bits per byte where losses differ."""
    key, unit = ("val_loss", records[0].loss_name) if same_losses else ("val_bits_per_byte", "bits")
    what = "Validation loss" if same_losses else "Bits per byte"
    without = [n for run, n in zip(records, names, strict=True) if not run.points(key)]
    if not same_losses and len(without) == len(records):  # of classifiers, of assistants
        return '<p class="none">Their losses do not compare, and bits per byte they have none.</p>'
    remark = f"No {what.lower()}: {', '.join(without)}." if without else ""
    charts = []
    for x, over, label, scale in (
        ("tokens", "tokens", "tokens", 1.0),
        ("seconds", "training time", "minutes", 1 / 60),
    ):
        series = []
        for i, (run, name) in enumerate(zip(records, names, strict=True)):
            points = [(at * scale, y) for at, y in run.points(key, x)]
            series.append(Series(name=name, points=points, colour=i, dash=i, dots=True))
            if same_losses:
                training = [(at * scale, y) for at, y in smooth(run.points("train_loss", x))]
                series.append(
                    Series(name=f"{name}, training", points=training, colour=i, faint=True)
                )
        charts.append(
            Chart(
                title=f"{what} over {over}",
                series=series,
                x_label=label,
                y_label=unit,
                remark=remark,
            )
        )
    return f'<div class="charts">{"".join(map(chart_figure, charts))}</div>'


def _difference_tables(comparison: Comparison) -> str:
    if not comparison.differences:
        return "<p>Nothing: the same settings on the same machine.</p>"
    head = ["key", *(esc(outcome.name) for outcome in comparison.outcomes)]

    def rows(causes: bool) -> list[list[str]]:
        return [
            [esc(d.key), *("–" if value is None else esc(value) for value in d.values)]
            for d in comparison.differences
            if d.key.startswith(CAUSES) == causes
        ]

    causes, rest = rows(True), rows(False)
    shown = table(head, causes, "Keys of run.toml that differ", "words") if causes else ""
    if not causes:
        shown = "<p>No setting of the model, the training or the data.</p>"
    if rest:
        circumstances = table(head, rest, "Circumstances that differ", "words")
        shown += fold("Circumstances: request, choices, versions, machine, plan", circumstances)
    return shown


def _samples(records: Sequence[RunRecord], names: Sequence[str]) -> str:
    return "".join(
        f"<h3>{esc(name)}</h3>{newest_sample(run)}"
        for run, name in zip(records, names, strict=True)
    )
