"""Figures of a classifier's predictions: how often it is right, where not, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.base.errors import RunError
from groundup.evaluate.calibration import (
    DRAWS,
    FEWEST_RESAMPLES,
    RESAMPLES,
    SMALLEST,
    Calibration,
)
from groundup.evaluate.intervals import ends_of, wilson
from groundup.runs.classification import (
    ClassFigures,
    Figures,
    Interval,
    McNemar,
    WorstError,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LARGEST_SUM_ERROR = 1e-3
SHOWN_ERRORS = 20
SHOWN_CHARACTERS = 500


@dataclass(frozen=True, eq=False)
class Classification:
    """What a classifier said of n examples of k classes, and what they are.

    `truth` (n,) holds numbers of classes, `probabilities` (n, k) a row for each example. The class
    with the largest probability is the prediction, the first of equals. Raises `RunError` for
    probabilities that are no numbers, `ValueError` for what no model returns.
    """

    labels: tuple[str, ...]
    truth: Ints
    probabilities: Floats

    def __post_init__(self) -> None:
        n, k = len(self.truth), len(self.labels)
        given = np.asarray(self.probabilities, dtype=np.float64)
        if given.shape != (n, k) or not n or k < 2:
            raise ValueError(
                f"probabilities of shape {given.shape} for {n} examples of {k} labels; expected "
                "(examples, labels), one example and two labels at least"
            )
        if bad := np.flatnonzero(~np.isfinite(given).all(axis=1)).tolist():
            raise RunError(
                f"the classifier's probabilities are no finite numbers in {len(bad):,} of {n:,} "
                "examples; train again with a smaller learning_rate"
            )
        sums = given.sum(axis=1, keepdims=True)
        if given.min() < 0 or np.abs(sums - 1).max() > LARGEST_SUM_ERROR:
            raise ValueError("each row of probabilities must lie between 0 and 1 and sum to 1")
        truth = np.asarray(self.truth, dtype=np.int64)
        if truth.min() < 0 or truth.max() >= k:
            raise ValueError(f"truth must be numbers of classes, 0 to {k - 1}")
        object.__setattr__(self, "truth", truth)
        object.__setattr__(self, "probabilities", given / sums)

    @cached_property
    def prediction(self) -> Ints:
        """The number of the predicted class of each example, (n,)."""
        return np.asarray(np.argmax(self.probabilities, axis=1))

    @cached_property
    def right(self) -> Bools:
        """Whether each prediction is right, (n,)."""
        return np.asarray(self.prediction == self.truth)

    @cached_property
    def losses(self) -> Floats:
        """Minus the logarithm of the true class's probability, in nats, (n,)."""
        of_truth = self.probabilities[np.arange(len(self.truth)), self.truth]
        return -np.log(np.maximum(of_truth, SMALLEST))

    @cached_property
    def confusion(self) -> Ints:
        """Counts, (k, k): a row for each true class, a column for each that was predicted."""
        return confusion(self.truth, self.prediction, len(self.labels))

    @cached_property
    def figures(self) -> Figures:
        """All figures; see `macro_f1`, `wilson`, `macro_f1_interval` and `Calibration`."""
        n, right = len(self.truth), int(self.right.sum())
        calibration = Calibration(self.probabilities.max(axis=1), self.right)
        return Figures(
            examples=n,
            accuracy=right / n,
            accuracy_interval=wilson(right, n),
            log_loss=float(self.losses.mean()),
            macro_f1=float(macro_f1(self.confusion)),
            macro_f1_interval=macro_f1_interval(self.confusion),
            classes=tuple(_class_figures(self.labels, self.confusion)),
            confusion=tuple(tuple(row) for row in self.confusion.tolist()),
            ece=calibration.ece,
            ece_interval=calibration.interval,
            ece_by_chance=calibration.by_chance,
            bins=tuple(calibration.bins()),
        )


def confusion(truth: Ints, prediction: Ints, n_labels: int) -> Ints:
    """Return counts (k, k) of true and predicted numbers of classes, both (n,)."""
    cells = np.bincount(truth * n_labels + prediction, minlength=n_labels * n_labels)
    return cells.reshape(n_labels, n_labels).astype(np.int64)


def macro_f1(confusion: npt.NDArray[Any]) -> Floats:
    """Return the mean F1 of the classes of confusion matrices (..., k, k), (...).

    A class that is predicted and never true, or true and never predicted, has an F1 of 0. One that
    is neither is left out. So does scikit-learn's `f1_score(average="macro", zero_division=0)`.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _mean_f1(right, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def _mean_f1(right: npt.NDArray[Any], both: npt.NDArray[Any]) -> Floats:
    """Return the same of the counts (..., k) of each class: right, and true plus predicted."""
    seen = both > 0
    mean = np.sum(2 * right / np.where(seen, both, 1), axis=-1) / seen.sum(axis=-1)
    return np.asarray(mean, dtype=np.float64)


def _class_figures(labels: Sequence[str], confusion: Ints) -> list[ClassFigures]:
    support, predicted = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    return [
        ClassFigures(
            label=label,
            support=support[i],
            predicted=predicted[i],
            precision=_share(right, predicted[i]),
            recall=_share(right, support[i]),
            f1=_share(2 * right, support[i] + predicted[i]),
        )
        for i, (label, right) in enumerate(zip(labels, np.diag(confusion).tolist(), strict=True))
    ]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def macro_f1_interval(confusion: Ints, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Return the 95% interval of the macro F1 by the Bayesian bootstrap (Rubin, 1981).

    Each true class is resampled by itself, since a stratified split fixes their sizes. How it is
    taken follows a Dirichlet distribution of its counts, and 1 / k^2 in each cell besides. Without
    that an interval would vanish where no error was seen: with 50 examples each of two classes
    and an error in 100, the plain bootstrap's holds the true value in two
    cases of three.
    """
    rng, k = np.random.default_rng(seed), len(confusion)
    resamples = min(resamples, max(FEWEST_RESAMPLES, DRAWS // k**2))
    # Sums alone are kept: all matrices of 1,000 classes would take gigabytes.
    right, predicted = np.zeros((resamples, k)), np.zeros((resamples, k))
    for i, row in enumerate(confusion):
        if row.any():
            drawn = row.sum() * rng.dirichlet(row + k**-2.0, size=resamples)
            right[:, i] = drawn[:, i]
            predicted += drawn
    low, high = ends_of(_mean_f1(right, predicted + confusion.sum(axis=1)))
    value = float(macro_f1(confusion))
    return min(low, value), max(high, value)


def mcnemar(right_a: Bools, right_b: Bools) -> McNemar:
    """Compare two classifiers on the same examples by McNemar's exact test (McNemar, 1947).

    Both are (n,). Of the examples that only one of them gets right, each would get half if neither
    were better; the p-value is two-sided, from the binomial distribution.
    """
    from scipy.special import bdtr

    if right_a.shape != right_b.shape:
        raise ValueError(f"{right_a.shape} and {right_b.shape}: expected the same examples")
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))
    return McNemar(only_a=only_a, only_b=only_b, p_value=p)


def worst_errors(
    found: Classification, texts: Sequence[str], places: Sequence[str], most: int = SHOWN_ERRORS
) -> tuple[WorstError, ...]:
    """Return the wrong predictions with the highest loss, the highest first.

    `texts` and `places` are those of the examples, in their order.
    """
    wrong = np.flatnonzero(~found.right)
    order = wrong[np.argsort(-found.losses[wrong], kind="stable")][:most].tolist()
    return tuple(
        WorstError(
            where=places[i],
            text=texts[i][:SHOWN_CHARACTERS],
            left_out=max(0, len(texts[i]) - SHOWN_CHARACTERS),
            truth=found.labels[found.truth[i]],
            prediction=found.labels[found.prediction[i]],
            probability=float(found.probabilities[i].max()),
            truth_probability=float(found.probabilities[i, found.truth[i]]),
        )
        for i in order
    )
