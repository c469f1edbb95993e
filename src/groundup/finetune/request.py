"""What every fine-tuning is asked for: a run to begin with, records, and settings of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from groundup.base.errors import UsageError
from groundup.config import GPTConfig, as_table
from groundup.config.fields import Settings
from groundup.data.record_sources import check_record_sources
from groundup.runs import RunFolder
from groundup.runs.own import check_named, folder_to_keep, kept_in
from groundup.train.resume import Identity, as_made, trained_run
from groundup.train.run_request import RunRequest
from groundup.train.start import Start, changed_base, start_from

COUNTED = ("model", "train", "job", "data.fingerprint", "from.weights")
CAUSES = {"data": ("text",), "model": ("from.run",), "from": ("from.run",)}
UNKNOWN = (
    "data.fingerprint", "data.fingerprint_of_mix", "data.fingerprint_of_template", "from.weights",
    "from.name", "from.licence", "model.context_length", "model.vocab_size", "model.drop_rate",
    "model.attention_drop_rate",
)  # fmt: skip
"""Of a request, before its records and its base are read."""


@dataclass(frozen=True, kw_only=True)
class FinetuneRequest(RunRequest):
    """What the user asked for of a fine-tuning; `prepared` are its records as they were kept."""

    kind: ClassVar[str]
    """What run.toml calls the training."""
    verb: ClassVar[str]
    """What makes it: `groundup finetune` and this."""
    base: Path
    records: tuple[str, ...]
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the records are read: the arguments of what prepares them."""

    @property
    @abstractmethod
    def own(self) -> Settings:
        """The settings of this kind of training."""

    @property
    @abstractmethod
    def needs_base(self) -> bool:
        """Whether a part of the model stays as it is, and is left to the checkpoint it is in."""

    def made_name(self) -> str:
        """Return a name made of the records and the base."""
        stem = Path(self.records[0]).name.partition(".")[0] or "records"
        return f"{stem}-{self.base.resolve().name}"

    def start(self) -> Start:
        """Return what the run starts from."""
        return start_from(self.base, {}, self.folder, adapts=self.needs_base)

    def check(self) -> None:
        """Refuse what can be known to be wrong without torch, which takes seconds to load."""
        self.check_base()
        config = changed_base(self.base, {}, self.folder, adapts=self.needs_base)
        self._check_length(config)
        if self.prepared is None:
            tests = self.reading.get("test_sources") or ()
            check_record_sources([*self.records, *tests], job=self.verb)
        self.check_folder(self.identity(config), UNKNOWN)

    def check_base(self) -> None:
        """Refuse a base that nothing of this kind can be made from; a GPT always can."""

    def _check_length(self, config: GPTConfig) -> None:
        length = getattr(self.own, "max_length", None)
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
            "job": as_table(self.own),
            "text": {key: value for key, value in text.items() if value is not None},
            "from": {"run": str(self.base)},
            **(read or {}),
        }
        return Identity(request=table, kind=self.kind, counted=COUNTED, causes=CAUSES)


def recorded(folder: RunFolder, kind: str, own_data: Path | None = None) -> dict[str, Any]:
    """Return the arguments of the request that the run in `folder` began with.

    But for its own settings, which are in the table `own`. Raises `UsageError` for another kind of
    run, and for one whose records were in memory; `PathsElsewhere` for a run of others that names
    what is not near.
    """
    path = folder.path if folder.path.name else folder.path.resolve()
    manifest, asked = trained_run(folder, kind)
    text = dict(asked.text or {})
    kept = kept_in(manifest, manifest.data.folder, own_data)
    prepared = kept if (kept / "manifest.json").is_file() else None
    sources = tuple(text.pop("sources", manifest.data.sources or ()))
    if asked.from_ is None or asked.from_.run is None or not sources:
        raise UsageError(
            f"{folder.path} was trained in Python, and its texts are not kept; repeat its "
            f"call{as_made(asked, ': ')}"
        )
    read = {asked.from_.run: "its base"}
    if prepared is None:
        read |= dict.fromkeys([*sources, *(text.get("test_sources") or ())], "its records")
    check_named(folder, manifest, read, as_made(asked, ", or repeat its command: "))
    return {
        "base": Path(asked.from_.run),
        "records": sources,
        "reading": text,
        "own": asked.job or {},
        "train": folder.train_config(asked),
        "run": path.name,
        "command": str(asked.command or ""),
        "runs_folder": path.parent,
        "data_folder": folder_to_keep(manifest, own_data),
        "prepared": prepared,
        "reads": (*read, *([str(prepared)] if prepared else [])),
    }
