"""A classifier in a few lines of Python: a model, a tokenizer, texts and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groundup.base.errors import DataError, shown
from groundup.config import TrainConfig, build
from groundup.config.recipe import check_one_length, says_length
from groundup.data.duplicates import without_repeated
from groundup.data.examples import Example
from groundup.data.labels import in_order
from groundup.data.reading_log import ReadingLog
from groundup.data.stratified import spelling_notices, split_by_text
from groundup.finetune.classifier.job import ClassifyJob
from groundup.finetune.classifier.model import Classifier
from groundup.finetune.classifier.text_classifier import TextClassifier, check_texts
from groundup.finetune.in_memory import SPLIT_SEED, InMemoryJob, drive_in_memory
from groundup.finetune.settings import (
    DEFAULT_EPOCHS,
    ClassifierSettings,
    check_layers,
    check_of_records,
    training_defaults,
)
from groundup.model import GPT
from groundup.runs.pair import check_pair
from groundup.tokenizer import Tokenizer
from groundup.train.api import check_learns, check_listeners
from groundup.train.listener import Listener


def classify(
    model: GPT,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    layers: str = "all",
    pooling: str = "auto",
    balance: str = "none",
    max_length: int | None = None,
    listeners: Sequence[Listener] = (),
    show: bool = True,
    **settings: Any,
) -> TextClassifier:
    """Make `model` a classifier of `texts`, whose labels are `labels`, and return it.

    The model learns in place. A tenth of each class validates; repeated texts and those with
    different labels are left out, which is shown. The four settings after the labels are those of
    `ClassifierSettings`, `settings` the fields of `TrainConfig`. Nothing is tested: keep texts
    aside, and compare what `predict` says of them. For a run folder that survives a kill, with a
    test and a report, see `groundup finetune classify`.

    Raises `DataError` for texts or labels that cannot be learnt from, `UsageError` for a model
    that cannot learn.
    """
    check_pair(model, tokenizer, "classify")
    check_listeners(listeners)
    check_learns(model)
    examples = _examples(texts, labels)
    own = {"layers": layers, "pooling": pooling, "balance": balance, "max_length": max_length}
    asked = build(ClassifierSettings, {k: v for k, v in own.items() if v is not None})
    check_one_length(settings)
    check_of_records(settings)
    if not says_length(settings):
        settings["epochs"] = DEFAULT_EPOCHS[asked.layers]
    train = build(TrainConfig, training_defaults(asked.layers) | settings)
    check_layers(asked, train)
    job = InPython(model, tokenizer, examples, asked, train)
    # What stays as it is here may learn elsewhere; adapters are to be merged before that.
    learnt = {} if train.adapts else {p: p.requires_grad for p in model.parameters()}
    try:
        metrics = drive_in_memory(job, job.notices, listeners, show)
    finally:
        for parameter, learns in learnt.items():
            parameter.requires_grad_(learns)
    return TextClassifier(
        model=job.made.eval(),
        tokenizer=tokenizer,
        labels=job.labels,
        max_length=job.max_length,
        metrics=metrics,
    )


def _examples(texts: Sequence[str], labels: Sequence[str]) -> list[Example]:
    check_texts(texts)
    if isinstance(labels, str) or not hasattr(labels, "__len__"):
        raise DataError(f"labels: expected a list of labels, but got {type(labels).__name__}")
    if len(texts) != len(labels):
        raise DataError(f"{len(texts):,} texts and {len(labels):,} labels: expected one for each")
    for number, label in enumerate(labels, 1):
        if not isinstance(label, str) or not label.strip():
            raise DataError(
                f"label {number} = {shown(repr(label), 40)}: expected a string; write "
                "[str(label) for label in labels]"
            )
    pairs = zip(texts, labels, strict=True)
    # Not numpy's strings, which would show as such wherever a label does.
    return [Example(str(t), str(label), None, f"text {n}") for n, (t, label) in enumerate(pairs, 1)]


class InPython(InMemoryJob[Classifier], ClassifyJob):
    """A training of a model in memory, on texts in memory."""

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        asked: ClassifierSettings,
        settings: TrainConfig,
    ) -> None:
        self.given, self.tokenizer, self.config = model, tokenizer, model.config
        self.asked, self.settings = asked, settings
        log = ReadingLog()
        kept = without_repeated(examples, log)
        self.notices = [*log.lines(), *spelling_notices(kept)]
        self.splits = split_by_text(kept, SPLIT_SEED, ("val",))
        self.kept = kept
        self.labels = in_order(example.label for example in kept)

    @property
    def gpt(self) -> GPT:
        """The model that was given."""
        return self.given

    def examples(self, split: str) -> Sequence[Example]:
        """Return the texts of a split."""
        pairs = zip(self.kept, self.splits, strict=True)
        return [example for example, its in pairs if its == split]

    def model(self, seed: int) -> Classifier:
        """Return the given model with a new head."""
        self.made = super().model(seed)
        return self.made
