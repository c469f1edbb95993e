"""A classifier by request: of the model of another run, on records on disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from groundup.base.words import counted
from groundup.data.examples import Example
from groundup.data.labelled_folder import LabelledData
from groundup.data.record_sets import RECORD_SETS, LabelledSet
from groundup.finetune.classifier.job import ClassifyJob
from groundup.finetune.classifier.judge import judge
from groundup.finetune.classifier.model import Classifier
from groundup.finetune.classifier.request import ClassifyRequest
from groundup.finetune.from_base import FromBase
from groundup.finetune.order import Order
from groundup.finetune.settings import learns_all
from groundup.runs import RunFolder
from groundup.runs.own import may_read
from groundup.train.listener import Screen
from groundup.train.resume import Identity
from groundup.train.start import new_model


class ClassifyRun(FromBase[Classifier], ClassifyJob):  # type: ignore[override]
    """A training by request: of the model of another run, on records on disk."""

    request: ClassifyRequest

    def __init__(self, request: ClassifyRequest) -> None:
        super().__init__(request)
        self.asked = request.classifier

    @cached_property
    def data(self) -> LabelledData:
        """The records, read once."""
        return self.request.data()

    @property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the texts are labelled with."""
        return self.data.labels

    def examples(self, split: str) -> Sequence[Example]:
        """Return the texts of a split."""
        return self.data.examples(split)

    def prepare(self, screen: Screen) -> None:
        """Read the records, and tell what was made of them."""
        self.screen = screen
        screen.prepared_records(self.data)
        for source in self._read_before():
            screen.notice(
                f"{self.request.base} has learnt from {source} already, the texts of "
                "validation and test among it"
            )
        # Those of the test, too: what cannot be read there is refused now, not after training.
        splits = self.train_rows, self.val_rows, self._rows("test")
        if n_cut := sum(rows.n_cut for rows in splits):
            n, n_lost = sum(len(rows.ids) for rows in splits), sum(rows.n_lost for rows in splits)
            screen.notice(
                f"{n_cut:,} of {counted(n, 'text')} cut at max_length = {self.max_length}: "
                f"{counted(n_lost, 'token')} left out"
            )

    def _read_before(self) -> list[str]:
        """Return the texts that named records are made of and that the base was trained on."""
        learnt, seen, base = set[str](), set[str](), str(self.request.base)
        while base not in seen and (folder := RunFolder(Path(base))).exists():
            seen.add(base)
            manifest = folder.read()
            learnt.update(manifest.data.sources or ())
            if manifest.origin and may_read(manifest, str(manifest.origin.run)):
                base = str(manifest.origin.run)  # what it came from
        named = (RECORD_SETS.get(name) for name in self.request.records)
        texts = (one.corpus.name for one in named if isinstance(one, LabelledSet))
        return [text for text in texts if text in learnt]

    def identity(self) -> Identity:
        """Return the request, with what its records and its base turned out to be."""
        read = {"data": {"fingerprint": self.data.fingerprint}, **self.start.identity}
        return self.request.identity(self.config, read)

    def sizes(self) -> dict[str, int]:
        """Return how many tokens and texts train and validate."""
        return {
            "train_tokens": self.n_tokens,
            "train_documents": len(self.train_rows.ids),
            "val_tokens": int(self.val_rows.lengths.sum()),
            "val_documents": len(self.val_rows.ids),
        }

    def skeleton(self) -> Classifier:
        """Return a model that is about to be filled, by all of a checkpoint or what it has."""
        if not learns_all(self.asked, self.settings):
            return self.model(0)
        return Classifier(new_model(self.config, 0), len(self.labels), self.pooling)

    def finish(self, folder: RunFolder, screen: Screen) -> None:
        """Decide about the test texts by the best checkpoint, and write what came of it."""
        cut = self.train_rows.n_cut + self.val_rows.n_cut
        padding = self._padding(folder)
        self.forget()  # what is judged is the best checkpoint
        judge(folder, self.data, cut, padding, screen)

    def is_judged(self, folder: RunFolder) -> bool:
        """Return whether the figures of the test are there."""
        return folder.classification.exists()

    def _padding(self, folder: RunFolder) -> float | None:
        """Return the share of padding in what was computed: nothing where vectors were learnt."""
        if self.asked.layers == "head":
            return None
        settings = folder.train_config(folder.read())
        how = settings.batch_size, settings.seed, settings.accumulation
        order = Order(self.train_rows.lengths, *how)
        return order.padding_share(settings.steps * settings.sequences_per_step)
