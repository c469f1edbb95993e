"""The second kind of training: a GPT learns to tell labels of texts."""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from groundup.adapters import adapter_shapes, attach
from groundup.base.words import counted
from groundup.config import GPTConfig, TrainConfig, as_table, foreign_parts
from groundup.data import Source
from groundup.data.examples import Example
from groundup.evaluate.classification import confusion, macro_f1
from groundup.finetune.classifier.model import Classifier
from groundup.finetune.classifier.rows import (
    Floats,
    LabelledRows,
    LabelledVectors,
    Rows,
    class_weights,
    labelled_rows,
)
from groundup.finetune.classifier.step import ClassifyStep, HeadStep
from groundup.finetune.classifier.text_classifier import scores_of, softmax
from groundup.finetune.classifier.vectors import better_pooling, vectors_of
from groundup.finetune.order import Order
from groundup.finetune.settings import AUTO, ClassifierSettings
from groundup.model import GPT, shapes_of
from groundup.optim.step import Step
from groundup.plan import Plan, Texts, make_plan
from groundup.processes.alone import Alone
from groundup.runs.classifier import CLASSIFIER, HEAD
from groundup.runs.manifest import Manifest
from groundup.tokenizer import Tokenizer
from groundup.train.choices import Choices
from groundup.train.job import Job
from groundup.train.listener import Screen
from groundup.train.records import Between
from groundup.train.start import SLOWER

MOST_PROBED = 2000
"""Training texts from which the pooling is chosen."""


@dataclass(frozen=True)
class Found:
    """What a validation of a classifier found."""

    loss: float
    """Mean cross entropy of a text, in nats; texts count as they do in training."""
    tokens: int
    accuracy: float
    macro_f1: float

    def figures(self) -> dict[str, float]:
        """Return what a line of metrics.jsonl says of it."""
        return {
            "val_loss": self.loss,
            "val_accuracy": self.accuracy,
            "val_macro_f1": self.macro_f1,
        }


class ClassifyJob(Job[Classifier]):
    """What every training of a classifier does, wherever its texts are."""

    kind = CLASSIFIER

    asked: ClassifierSettings
    """As asked for, before anything is decided."""
    tokenizer: Tokenizer
    start_token: int | None = None
    """The token that begins every text, where the model knows one."""
    labels: tuple[str, ...]
    pooling: str = AUTO
    screen: Screen | None = None
    """Where it is told that texts are read, where only a head learns."""

    @property
    @abstractmethod
    def gpt(self) -> GPT:
        """The model that it is made from, as it was."""

    @abstractmethod
    def examples(self, split: str) -> Sequence[Example]:
        """Return the texts to learn from ("train") and those that validate ("val")."""

    @property
    def rate_share(self) -> float:  # type: ignore[override]
        """A part of a new model's rate where all of it learns on, else the whole.

        On SmolLM2's last block, 60 and 200 steps on SMS messages, a tenth of it left macro F1 at
        0.46 and 0.94, all of it gave 0.97 and 0.97.
        """
        return SLOWER if self.asked.layers == "all" else 1.0

    @property
    def n_tokens(self) -> int:  # type: ignore[override]
        """Tokens to learn from."""
        return int(self.train_rows.lengths.sum())

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read."""
        return self.asked.max_length or self.config.context_length

    @cached_property
    def train_rows(self) -> Rows:
        """The texts to learn from, as tokens."""
        return self._rows("train")

    @cached_property
    def val_rows(self) -> Rows:
        """The texts that validate, as tokens; in an order of which any beginning is fair."""
        return self._rows("val")

    def _rows(self, split: str) -> Rows:
        examples = self.examples(split)
        if split == "val":
            examples = sorted(examples, key=lambda example: example.normalised)
        return labelled_rows(
            examples, self.labels, self.tokenizer, self.max_length, self.start_token
        )

    @cached_property
    def weights(self) -> Floats:
        """What a text of each label counts."""
        return class_weights(self.train_rows.labels, len(self.labels), self.asked.balance)

    @property
    def widest(self) -> GPTConfig:
        """The model with a context as long as the longest text."""
        longest = max(self.train_rows.lengths.max(), self.val_rows.lengths.max(initial=1))
        return self.config.replace(context_length=int(longest))

    def plan(self, settings: TrainConfig) -> Plan:
        """Return what the training takes: memory, work, steps."""
        rows, val = self.train_rows, self.val_rows
        texts = Texts(
            layers=self.asked.layers,
            n_labels=len(self.labels),
            longest=self.widest.context_length,
            n_texts=len(rows.ids),
            n_tokens=int(rows.lengths.sum()),
            n_kept=len(rows.ids) + len(val.ids),
        )
        shapes = shapes_of(self.gpt) if foreign_parts(self.config) else None
        settings = replace(settings, epochs=None)
        return make_plan(self.config, settings, parameters=shapes, texts=texts)

    @property
    def extra(self) -> Mapping[str, Sequence[int]]:  # type: ignore[override]
        """The head, and adapters where these learn, which a GPT lacks."""
        adapters = adapter_shapes(self.config, self.settings.method, self.settings.lora_rank)
        return {HEAD: (len(self.labels), self.config.emb_dim), **adapters}

    def decide(self, choices: Choices, screen: Screen) -> dict[str, Any]:
        """Choose what the head sees, where that was left open; return what run.toml says."""
        settings, reasons = as_table(self.asked), dict[str, str]()
        if self.asked.pooling == AUTO:
            better, why = self._better_pooling(screen)
            settings["pooling"], reasons["pooling"] = better, why
            screen.decided("Pooling", f"{better}: {why}")
        settings["max_length"] = self.max_length
        return {"labels": list(self.labels), "settings": settings, "reasons": reasons}

    def take_over(self, manifest: Manifest) -> None:
        """Receive what was decided when the run began."""
        assert manifest.job is not None, "it is of this kind"
        self.pooling = str((manifest.job.settings or {})["pooling"])

    def _better_pooling(self, screen: Screen) -> tuple[str, str]:
        """Return the pooling with which a head does better on the validation texts, and why."""
        if self.asked.layers == "head":
            train, rows = self._vectors("train", screen), self.train_rows
        else:
            order = Order(self.train_rows.lengths, batch_size=1, seed=0)
            n = min(MOST_PROBED, len(self.train_rows.ids))
            rows = self.train_rows.some(np.sort(order.rows(0, n)))
            train = vectors_of(self.gpt, rows.ids, self._progress(screen))
        val = self._vectors("val", screen)
        better, found = better_pooling(
            train, val, rows.labels, self.val_rows.labels, len(self.labels)
        )
        scores = ", ".join(f"{name} {score:.3f}" for name, score in found.items())
        return better, (
            f"of heads on the model as it was, fitted to {counted(len(rows.ids), 'text')}: macro "
            f"F1 on the validation texts {scores}"
        )

    def _vectors(self, split: str, screen: Screen | None = None) -> dict[str, Floats]:
        """Return the vectors of a split by the model as it was, computed once in a process.

        They are not kept on disk: a run that goes on computes them again, with the same bits, and
        says so, as that may take minutes.
        """
        screen = screen or self.screen
        if split not in self._known_vectors:
            rows = self.train_rows if split == "train" else self.val_rows
            if screen and split == "train":
                n = counted(len(rows.ids) + len(self.val_rows.ids), "text")
                screen.decided("Vectors", f"of {n}, read now; a run that goes on reads them again")
            progress = self._progress(screen)
            self._known_vectors[split] = vectors_of(self.gpt, rows.ids, progress)
        return self._known_vectors[split]

    @cached_property
    def _known_vectors(self) -> dict[str, dict[str, Floats]]:
        return {}

    @staticmethod
    def _progress(screen: Screen | None) -> Any:
        return lambda done, total: screen.preparing("vectors", done, total) if screen else None

    def steps(self, epochs: float, settings: TrainConfig) -> int:
        """Return how many steps make so many passes over the texts."""
        return max(1, math.ceil(epochs * len(self.train_rows.ids) / settings.sequences_per_step))

    def model(self, seed: int) -> Classifier:
        """Return the model that it is made from, with a new head."""
        model = Classifier(self.gpt, len(self.labels), self.pooling, seed)
        model.learn_only(self.asked.layers)
        if self.settings.adapts:
            how = self.settings
            attach(self.gpt, how.method, how.lora_rank, how.lora_alpha, seed)
        return model

    def source(self, settings: TrainConfig) -> Source:
        """Return the texts to learn from; where only a head learns, their vectors."""
        rows = self.train_rows
        how = self.weights, settings.batch_size, settings.seed, settings.accumulation
        if self.asked.layers == "head":
            return LabelledVectors(rows, self._vectors("train")[self.pooling], *how)
        return LabelledRows(rows, *how)

    def step(self, model: Classifier, choices: Choices) -> ClassifyStep:
        """Return the model with the loss of its decisions."""
        if self.asked.layers == "head":
            step: ClassifyStep = HeadStep(model, choices.copy_dtype)
        else:
            step = ClassifyStep(model, choices.copy_dtype, choices.config.balance_loss)
        step.keeps_frozen = self.base is None
        return step

    def evaluate(
        self, step: Step[Classifier], choices: Choices, world: Alone, most: int | None, last: bool,
        between: Between,
    ) -> Found | None:  # fmt: skip
        """Decide about the validation texts."""
        rows = self.val_rows
        if not rows.ids:
            return None
        n, is_head = len(rows.ids), self.asked.layers == "head"
        if most is not None and not is_head:  # vectors are there already, and all cost nothing
            n = max(1, int(np.searchsorted(np.cumsum(rows.lengths), most, side="right")))
        n_tokens = int(rows.lengths[:n].sum())
        if is_head:
            vectors = torch.from_numpy(self._vectors("val")[self.pooling][:n])
            with torch.no_grad():
                scores = step.model.scores(vectors.to(choices.device)).float().cpu().numpy()
        else:
            # The last one, of all texts, is what `groundup classify` will find: in fp32.
            with contextlib.nullcontext() if last else choices.autocast():
                scores = world.within(
                    lambda: scores_of(step.model, rows.ids[:n], lambda *done: between())
                )
        truth, predicted = rows.labels[:n], scores.argmax(axis=1)
        likely = softmax(scores)[np.arange(n), truth]
        losses = -np.log(np.maximum(likely, np.finfo(np.float64).tiny))
        return Found(
            loss=float(np.average(losses, weights=self.weights[truth])),
            tokens=n_tokens,
            accuracy=float((predicted == truth).mean()),
            macro_f1=float(macro_f1(confusion(truth, predicted, len(self.labels)))),
        )
