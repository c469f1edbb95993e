"""What `groundup finetune classify` is asked for; what of it is refused before torch is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.base.errors import UsageError
from groundup.config import GPTConfig, as_table
from groundup.data.labelled import prepare_labelled
from groundup.data.labelled_folder import LabelledData, open_labelled
from groundup.data.record_sources import check_record_sources
from groundup.finetune.settings import ClassifierSettings, learns_all
from groundup.runs import RunFolder
from groundup.runs.classifier import CLASSIFIER, asks_it, is_classifier, origin_of
from groundup.train.resume import Identity, as_made, trained_run
from groundup.train.run_request import RunRequest
from groundup.train.start import Start, changed_base, start_from

COUNTED = ("model", "train", "job", "data.fingerprint", "from.weights")
CAUSES = {"data": ("text",), "from": ("from.run",)}
UNKNOWN = ("data.fingerprint", "from.weights", "from.name", "from.licence", "model.context_length")


@dataclass(frozen=True, kw_only=True)
class ClassifyRequest(RunRequest):
    """What the user asked for of a classifier; `prepared` are its examples."""

    base: Path
    records: tuple[str, ...]
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the records are read: the arguments of `prepare_labelled`."""
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)

    def made_name(self) -> str:
        """Return a name made of the records and the base."""
        stem = Path(self.records[0]).name.partition(".")[0] or "records"
        return f"{stem}-{self.base.resolve().name}"

    @property
    def _needs_base(self) -> bool:
        return not learns_all(self.classifier, self.train)

    def start(self) -> Start:
        """Return what the run starts from."""
        return start_from(self.base, {}, self.folder, adapts=self._needs_base)

    def data(self) -> LabelledData:
        """Return the examples: read from the records, or as they were kept."""
        if self.prepared is not None:
            return open_labelled(self.prepared)
        return prepare_labelled(self.records, self.data_folder, **self.reading)

    def check(self) -> None:
        """Refuse what can be known to be wrong without torch, which takes seconds to load."""
        check_base(self.base)
        config = changed_base(self.base, {}, self.folder, adapts=self._needs_base)
        self._check_length(config)
        if self.prepared is None:
            tests = self.reading.get("test_sources") or ()
            check_record_sources([*self.records, *tests])
        self.check_folder(self.identity(config), UNKNOWN)

    def _check_length(self, config: GPTConfig) -> None:
        length = self.classifier.max_length
        if length is not None and length > config.context_length:
            raise UsageError(
                f"max_length = {length}: {self.base} sees at most {config.context_length} tokens "
                "(its context_length); give at most that"
            )

    def identity(self, config: GPTConfig, read: Mapping[str, Any] | None = None) -> Identity:
        """Return what run.toml keeps of this in [request]; `read` is what was found out since."""
        text = {"sources": list(self.records), **self.reading}
        table = {
            "command": self.command,
            "model": as_table(config),
            "train": as_table(self.train),
            "job": as_table(self.classifier),
            "text": {key: value for key, value in text.items() if value is not None},
            **(read or {}),
        }
        return Identity(request=table, kind=CLASSIFIER, counted=COUNTED, causes=CAUSES)


def check_base(base: Path) -> None:
    """Refuse a classifier as what another is made from."""
    folder = RunFolder(base)
    if folder.exists() and (manifest := folder.read()).kind == CLASSIFIER:
        goes_on = f", 'groundup resume {base}' goes on with it" if manifest.request else ""
        makes = f"{asks_it(folder)}{goes_on}, and {origin_of(manifest)} makes another"
        raise is_classifier(folder, manifest, makes)


def recorded_classify(folder: RunFolder, **others: Any) -> ClassifyRequest:
    """Return the request that the run in `folder` began with, with some fields changed."""
    path = folder.path if folder.path.name else folder.path.resolve()
    if (manifest := folder.read()).request is None:
        none = "it holds no training to go on with: "
        raise is_classifier(folder, manifest, none + asks_it(folder))
    manifest, asked = trained_run(folder, CLASSIFIER)
    text = dict(asked.text or {})
    kept = Path(manifest.data.folder or "")
    sources = tuple(text.pop("sources", manifest.data.sources or ()))
    if asked.from_ is None or asked.from_.run is None or not sources:
        raise UsageError(
            f"{folder.path} was trained in Python, and its texts are not kept; repeat its "
            f"call{as_made(asked, ': ')}"
        )
    return ClassifyRequest(
        base=Path(asked.from_.run),
        records=sources,
        reading=text,
        classifier=ClassifierSettings(**(asked.job or {})),
        train=folder.train_config(asked),
        run=path.name,
        command=str(asked.command or ""),
        runs_folder=path.parent,
        data_folder=kept.parent,
        prepared=kept if (kept / "manifest.json").is_file() else None,
        **others,
    )
