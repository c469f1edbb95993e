"""What simpler means reach on the same split: the most frequent class, and counted words."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from groundup.base.errors import GroundupError
from groundup.evaluate.classification import Classification, macro_f1, mcnemar
from groundup.runs.classification import Baseline

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""Of the logistic regression (C): the larger, the less it is held back; validation chooses."""
MOST_WEIGHTS, FEWEST_WORDS, MOST_WORDS = 2_000_000, 10_000, 200_000
"""The solver keeps some twenty copies of all weights, 320 MB of two million."""
MOST_PASSES = 1000
EXTRA = "baselines"
MAJORITY, TF_IDF = "the majority class", "TF-IDF with logistic regression"


class Labelled(Protocol):
    """An example: a text, and what it is."""

    @property
    def text(self) -> str:
        """The text."""

    @property
    def label(self) -> str:
        """Its class."""


class MissingPackageError(GroundupError):
    """A baseline that needs a package which is not installed."""


def baselines(
    splits: Mapping[str, Sequence[Labelled]], labels: Sequence[str], ours: Classification
) -> dict[str, Baseline]:
    """Return what simpler means reach on the test split, each compared with a classifier.

    `splits` holds "train", "val" and "test"; `ours` is what the classifier said of the test. What
    cannot be had is there, too, with the reason.
    """
    number = {label: i for i, label in enumerate(labels)}
    truth = {name: _numbers(split, number) for name, split in splits.items()}
    texts = {name: [one.text for one in split] for name, split in splits.items()}
    most = majority(truth["train"], len(labels), len(truth["test"]))
    named = labels[int(np.argmax(most[0]))]
    found = {"majority": _beside(MAJORITY, f"always '{named}'", most, ours)}
    try:
        counted, settings = tf_idf(texts, truth, len(labels))
        found["tf_idf"] = _beside(TF_IDF, settings, counted, ours)
    except GroundupError as error:
        found["tf_idf"] = Baseline(title=TF_IDF, missing=str(error))
    return found


def majority(train: Ints, n_labels: int, n_texts: int) -> Floats:
    """Return the share of each class in the training split as its probability, (n_texts, n_labels).

    So the most frequent one is the prediction, and the log loss is the lowest of any constant.
    """
    shares = np.bincount(train, minlength=n_labels) / len(train)
    return np.tile(shares, (n_texts, 1))


def tf_idf(
    texts: Mapping[str, Sequence[str]], truth: Mapping[str, Ints], n_labels: int
) -> tuple[Floats, str]:
    """Return the probabilities of the test texts, (texts, n_labels), and the settings in words.

    Words and pairs of words, each weighted by 1 + ln of its count and by how rare it is, and a
    logistic regression on them: what Wang and Manning (2012) call hard to beat on short texts.
    It learns from the training split alone; how strongly it is held back, validation decides
    (macro F1, then log loss, then the smallest C). Nothing in it is drawn at random. Raises
    `GroundupError` where scikit-learn is not installed or no text has a word.
    """
    vectorizer = _package("sklearn.feature_extraction.text").TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        token_pattern=r"(?u)\b\w+\b",
        max_features=min(MOST_WORDS, max(FEWEST_WORDS, MOST_WEIGHTS // n_labels)),
    )
    try:
        train = vectorizer.fit_transform(texts["train"])
    except ValueError as error:  # all texts are punctuation
        raise GroundupError("the training texts have no words to count") from error
    val, test = (vectorizer.transform(texts[name]) for name in ("val", "test"))
    labels = tuple(map(str, range(n_labels)))
    best: tuple[tuple[float, float], Any, float] | None = None
    for strength in STRENGTHS:
        model = _fitted(train, truth["train"], strength)
        said = Classification(labels, truth["val"], _probabilities(model, val, n_labels))
        score = (float(macro_f1(said.confusion)), -float(said.losses.mean()))
        if best is None or score > best[0]:
            best = score, model, strength
    assert best is not None
    settings = (
        f"{len(vectorizer.vocabulary_):,} words and pairs of words; C = {best[2]:g} of "
        f"{', '.join(f'{one:g}' for one in STRENGTHS)}, chosen on the validation split"
    )
    if best[1].n_iter_.max() >= MOST_PASSES:
        settings += f"; stopped after {MOST_PASSES:,} passes, before its best"
    return _probabilities(best[1], test, n_labels), settings


def _fitted(rows: Any, truth: Ints, strength: float) -> Any:
    regression = _package("sklearn.linear_model").LogisticRegression
    with warnings.catch_warnings():  # that it stopped early is told in the settings
        warnings.simplefilter("ignore", _package("sklearn.exceptions").ConvergenceWarning)
        return regression(C=strength, max_iter=MOST_PASSES).fit(rows, truth)


def _probabilities(model: Any, rows: Any, n_labels: int) -> Floats:
    """Return a column for each label, 0 for one that no training text has."""
    found = np.zeros((rows.shape[0], n_labels))
    found[:, model.classes_] = model.predict_proba(rows)
    return found


def _package(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "it needs the package scikit-learn, which is not installed; "
            f"run: pip install 'groundup[{EXTRA}]'"
        ) from error


def _numbers(examples: Sequence[Labelled], number: Mapping[str, int]) -> Ints:
    return np.array([number[one.label] for one in examples], dtype=np.int64)


def _beside(title: str, settings: str, rows: Floats, ours: Classification) -> Baseline:
    theirs = Classification(ours.labels, ours.truth, rows)
    return Baseline(
        title=title,
        settings=settings,
        figures=theirs.figures,
        mcnemar=mcnemar(ours.right, theirs.right),
    )
