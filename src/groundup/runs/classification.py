"""classification.json: what a classifier's test showed, written once and read by report and CLI."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from groundup.base.files import write_json
from groundup.runs.typed_json import from_json, read_record

FORMAT = 1
"""Version of the file; a newer one is refused rather than misread."""

Interval = tuple[float, float]
"""The ends of a 95% interval."""


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """The figures of one class; a share without anything to divide by is 0."""

    label: str
    support: int
    """Test examples that are of this class."""
    predicted: int
    """Test examples that are taken for it."""
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Predictions of about the same confidence: above `low`, up to and with `high`."""

    low: float
    high: float
    count: int
    confidence: float
    """Their mean confidence, the probability of the class that was predicted."""
    accuracy: float
    accuracy_interval: Interval


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of predictions; `groundup.evaluate.classification` says how each is computed."""

    examples: int
    accuracy: float
    accuracy_interval: Interval
    log_loss: float
    """In nats."""
    macro_f1: float
    macro_f1_interval: Interval
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Counts: a row for each true class, a column for each that was predicted."""
    ece: float
    ece_interval: Interval
    ece_by_chance: float
    """What a perfectly calibrated model stays below in 95 of 100 tests as large as this one."""
    bins: tuple[Bin, ...]
    """Those with predictions in them."""


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """A paired comparison of two classifiers: who alone is right, and how likely by chance."""

    only_a: int
    """Examples that only the first one gets right."""
    only_b: int
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A simple way to do the same, on the same split; without figures, `missing` says why."""

    title: str
    settings: str = ""
    figures: Figures | None = None
    mcnemar: McNemar | None = None
    """The classifier is a, the baseline b."""
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class WorstError:
    """A test example that is taken for another class."""

    where: str
    """Where it stands in its file."""
    text: str
    left_out: int
    """Characters of the text that are not in `text`."""
    truth: str
    prediction: str
    probability: float
    """Of the prediction."""
    truth_probability: float


@dataclass(frozen=True, kw_only=True)
class ClassificationRecord:
    """All of classification.json."""

    step: int
    """Of the checkpoint that was tested."""
    chosen_by: str
    """Why this checkpoint, in a few words."""
    split: str
    """How the records were divided, in a sentence."""
    test: Figures
    baselines: dict[str, Baseline] = field(default_factory=dict)
    errors: tuple[WorstError, ...] = ()
    """Those with the highest loss, the highest first."""
    left_out: dict[str, int] = field(default_factory=dict)
    """How many records were not used, by reason."""
    cut: int = 0
    """Texts of the whole data set that were longer than the context."""
    context_length: int = 0
    groups: int | None = None
    """Groups in the test split, where records were divided by group."""
    padding: float | None = None
    """Share of the computed positions that were padding."""
    seconds: float | None = None
    """That training took."""
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> ClassificationRecord:
        """Return the record with these values; a `ValueError` says which is not as expected."""
        record = from_json(cls, values, FORMAT)
        _check_sizes("test", record.test)
        for name, baseline in record.baselines.items():
            if baseline.figures:
                _check_sizes(f"baselines.{name}", baseline.figures)
        return record


def write_classification(path: Path, record: ClassificationRecord) -> None:
    """Write classification.json whole."""
    write_json(path, record.as_dict())


def read_classification(path: Path) -> ClassificationRecord | None:
    """Read classification.json, None where it is absent; a damaged one is a one-line error."""
    return read_record(path, ClassificationRecord.from_dict, "a classifier", "classify")


def _check_sizes(name: str, figures: Figures) -> None:
    k = len(figures.classes)
    if k < 2 or [len(row) for row in figures.confusion] != [k] * k:
        raise ValueError(f"{name}.confusion is not a square of {k} classes, of two or more")
    if not figures.bins:
        raise ValueError(f"{name}.bins is empty")
