"""One cell of the book's table: a classifier made in one way, from one seed, and tested."""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks.cells import answer
from benchmarks.classifier.choices import BATCH
from benchmarks.classifier.data import CONTEXT
from benchmarks.turns import Record
from groundup.base.errors import GroundupError
from groundup.config import TrainConfig, build
from groundup.data.duplicates import without_repeated
from groundup.data.examples import Example
from groundup.data.reading_log import ReadingLog
from groundup.evaluate.classification import confusion, macro_f1
from groundup.finetune.classifier.api import InPython
from groundup.finetune.classifier.baselines import tf_idf
from groundup.finetune.classifier.model import Classifier
from groundup.finetune.classifier.rows import Rows
from groundup.finetune.classifier.text_classifier import scores_of
from groundup.finetune.order import Ids
from groundup.finetune.settings import DEFAULT_EPOCHS, ClassifierSettings, training_defaults
from groundup.processes.alone import ALONE
from groundup.runs.load import load
from groundup.train.driver import drive
from groundup.train.listener import Screen
from groundup.train.recorder import Keeper
from groundup.train.start import new_model

NEVER = 1_000_000
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}

Splits = dict[str, list[Example]]


def result(job: Record) -> Record:
    """Return the figures of one way and one seed on its test texts."""
    splits = balanced(Path(job["work"]) / job["records"], job["seed"], job["quick"].get("texts"))
    begun = time.perf_counter()
    labels = sorted({example.label for example in splits["train"]})
    if not job["model"]:
        truth, predicted = counted_words(splits, labels)
    else:
        truth, predicted = trained(job, splits)
    return {
        "accuracy": float((truth == predicted).mean()),
        "macro_f1": float(macro_f1(confusion(truth, predicted, len(labels)))),
        "seconds": time.perf_counter() - begun,
        "texts": {name: len(split) for name, split in splits.items()},
    }


def balanced(path: Path, seed: int, most: int | None = None) -> Splits:
    """Return all texts of the rarest class and as many of each other, divided by `SHARES`.

    Repeated texts are left out before; `most` is how many are kept in all.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    examples = [Example(r["text"], r["label"], None, f"row {n}") for n, r in enumerate(rows, 1)]
    kept = without_repeated(examples, ReadingLog())
    chance, labels = random.Random(seed), sorted({example.label for example in kept})
    classes = [[example for example in kept if example.label == label] for label in labels]
    size = min(map(len, classes))
    size = size if most is None else min(size, most // len(labels))
    splits: Splits = {name: [] for name in SHARES}
    for members in classes:
        drawn = chance.sample(members, size)
        ends = [round(SHARES["train"] * size), round((1 - SHARES["test"]) * size), size]
        for name, begin, end in zip(SHARES, [0, *ends], ends, strict=False):
            splits[name] += drawn[begin:end]
    for split in splits.values():
        chance.shuffle(split)
    return splits


def counted_words(splits: Splits, labels: Sequence[str]) -> tuple[Ids, Ids]:
    """Return what the test texts are, and what TF-IDF says."""
    number = {label: n for n, label in enumerate(labels)}
    truth = {name: np.array([number[e.label] for e in split]) for name, split in splits.items()}
    texts = {name: [e.text for e in split] for name, split in splits.items()}
    try:
        said, _ = tf_idf(texts, truth, len(labels))
    except GroundupError as error:
        raise SystemExit(str(error)) from error
    return truth["test"], said.argmax(axis=1)


def trained(job: Record, splits: Splits) -> tuple[Ids, Ids]:
    """Return what the test texts are, and what the classifier of the last step says."""
    made = Choice(job, splits)
    drive(made, Keeper(), Screen(), ranks=ALONE)
    rows = made.rows_of("test")
    return rows.labels, scores_of(made.made.eval(), rows.ids).argmax(axis=1)


class Choice(InPython):
    """A training of the package's own, whose rows and head are as the job says."""

    def __init__(self, job: Record, splits: Splits) -> None:
        self.job, self.divided = job, splits
        loaded = load(Path(job["work"]) / job["base"])
        model = loaded.model.requires_grad_()
        if job["random"]:
            model = new_model(model.config, job["seed"])
        pooling = "last" if job["pooling"] == "first" else job["pooling"]
        length = min(CONTEXT, model.config.context_length)
        asked = ClassifierSettings(layers=job["layers"], pooling=pooling, max_length=length)
        own: dict[str, Any] = {"epochs": job["passes"], "batch_size": BATCH}
        if job["layers"] == "head":
            own = {"epochs": DEFAULT_EPOCHS["head"]}
        if job["quick"]:
            own = {"steps": job["quick"]["steps"]}
        own |= {"seed": job["seed"], "threads": 1, "eval_every": NEVER}
        own |= {"device": "cpu", "precision": "fp32"}
        settings = build(TrainConfig, training_defaults(job["layers"]) | own)
        examples = [example for split in splits.values() for example in split]
        super().__init__(model, loaded.tokenizer, examples, asked, settings)
        self.start_token = loaded.generation.get("start_token")
        self.is_random = job["random"]

    @property
    def rate_share(self) -> float:  # type: ignore[override]
        """All of a new model's rate where nothing was learnt that large steps could undo."""
        return 1.0 if self.is_random else super().rate_share

    def examples(self, split: str) -> Sequence[Example]:
        """Return the texts of a split, as they were divided here."""
        return self.divided[split]

    def rows_of(self, split: str) -> Rows:
        """Return the texts of a split as tokens."""
        return self._rows(split)

    def _rows(self, split: str) -> Rows:
        rows = super()._rows(split)
        if not self.width:
            return rows
        end = self.tokenizer.end_of_text
        assert end is not None, "our tokenizers have one"
        return Rows([filled(ids, self.width, end) for ids in rows.ids], rows.labels, rows.n_cut)

    @cached_property
    def width(self) -> int:
        """The places that every text is filled up to; 0 where it is not."""
        if self.job["pad"] == "none":
            return 0
        longest = int(super()._rows("train").lengths.max())
        return longest if self.job["pad"] == "longest" else self.max_length

    def model(self, seed: int) -> Classifier:
        """Return the model with a new head, which sees the first token where the job says so."""
        made = super().model(seed)
        if self.job["pooling"] == "first":
            made.pool = first_token
        return made


def first_token(hidden: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
    """Return the vector of each text's first token, which has seen nothing but itself."""
    return hidden[:, 0]


def filled(ids: Ids, width: int, end: int) -> Ids:
    """Return a text cut or filled up to `width` places with the token `end`."""
    places = np.full(width, end, np.int64)
    places[: len(ids)] = ids[:width]
    return places


if __name__ == "__main__":
    answer(result)
