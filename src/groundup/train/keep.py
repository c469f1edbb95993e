"""What remains of a training in Python: nothing, or a run folder from which it goes on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from groundup.base.errors import UsageError
from groundup.base.files import make_folder, new_path
from groundup.config import TrainConfig, as_table, build
from groundup.data import TokenSplit
from groundup.model import GPT, shapes_of
from groundup.report import write_report
from groundup.runs import RunFolder, flatten, read_lines
from groundup.runs.generation import ending
from groundup.runs.manifest import Manifest
from groundup.runs.save import check_made_by_config
from groundup.tokenizer import Tokenizer
from groundup.train.choices import Choices, choose
from groundup.train.folder import (
    checked_plan,
    current_tables,
    expected,
    locked,
    newest_checkpoint,
    run_tables,
    state_at,
)
from groundup.train.guard import State
from groundup.train.listener import Listener
from groundup.train.loop import Trainer
from groundup.train.recorder import Recorder
from groundup.train.resume import IN_PYTHON, differences, tell_inexact

REMEDY = "repeat its own call to go on with it, or choose another folder as run"

Notice = Callable[[str], None]
Splits = tuple[TokenSplit, TokenSplit]


class Unkept:
    """A training of which nothing is written."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.listeners: list[Listener] = []
        self.earlier: list[dict[str, Any]] = []
        """Metrics of the steps before this call."""

    def expected(self) -> dict[str, Any]:
        """Return what a `Trainer` is told besides."""
        return {}

    def begin(self, trainer: Trainer) -> bool:
        """Bring `trainer` to where the training stopped; return whether any of it is left."""
        return True

    def end(self) -> None:
        """Conclude what is written."""


class Kept(Unkept):
    """A training kept in a run folder, whose lock is held; the same call again goes on with it."""

    def __init__(
        self,
        folder: RunFolder,
        model: GPT,
        tokenizer: Tokenizer,
        splits: Splits,
        asked: TrainConfig,
        notice: Notice,
    ) -> None:
        self.folder, self.tokenizer, self.notice = folder, tokenizer, notice
        request = _request(model, tokenizer, splits, asked)
        if folder.exists():
            self.tables = _same(folder, request)
            reasons = self.tables.get("choices", {}).get("reasons", {})
            super().__init__(Choices(build(TrainConfig, self.tables["train"]), reasons))
        else:
            super().__init__(choose(asked, model.config))
            data = _data_table(tokenizer, splits, request["data"]["fingerprint"])
            self.tables = run_tables(model.config, self.choices, data, request)
        settings = self.choices.config
        self.plan = checked_plan(
            model.config, settings, splits[0].n_tokens, self.tables, shapes_of(model)
        )
        self.recorder = Recorder(folder, self.tables)
        self.listeners = [self.recorder]
        self.model = model

    def expected(self) -> dict[str, Any]:
        """Return what a `Trainer` is told besides."""
        known = expected(self.choices, self.plan, self.tables)
        return known | {"last_checkpoint": self._last_checkpoint}

    def begin(self, trainer: Trainer) -> bool:
        """Bring `trainer` to the newest checkpoint; return whether steps are left."""
        self.folder.write(Manifest.of(self.tables))
        self.tokenizer.save(self.folder.tokenizer)
        self.folder.write_chat_settings(None, ending({}, self.tokenizer.given_end))
        if (state := self._last_checkpoint()) is None:
            return True
        progress = state[0]
        trainer.restore(*state)
        self.notice(
            f"goes on from step {progress.step} in {self.folder.path}, with the weights kept there"
        )
        self.earlier = list(read_lines(self.folder.metrics))
        tell_inexact(self.tables, current_tables(self.choices), self.notice)
        return not progress.finished

    def _last_checkpoint(self) -> State | None:
        """Return the newest checkpoint, if any, after which everything written is forgotten."""
        checkpoint = newest_checkpoint(self.folder, self.notice)
        self.recorder.resume_from(checkpoint)
        return (
            None
            if checkpoint is None
            else state_at(checkpoint, self.model.config, self.model.parts)
        )

    def end(self) -> None:
        """Write the report."""
        write_report(self.folder.path)


@contextlib.contextmanager
def kept(
    path: str | Path | None,
    model: GPT,
    tokenizer: Tokenizer,
    splits: Splits,
    asked: TrainConfig,
    notice: Notice,
) -> Iterator[Unkept]:
    """Yield what keeps a training in the run folder `path`, or nothing of it where that is None."""
    if path is None:
        choices = choose(asked, model.config)
        checked_plan(model.config, choices.config, splits[0].n_tokens, {}, shapes_of(model))
        yield Unkept(choices)
        return
    check_made_by_config(model)
    folder = RunFolder(Path(path))
    if not folder.exists() and not folder.lock.exists():
        new_path(folder.path)
    make_folder(folder.path.parent)
    with locked(folder):
        yield Kept(folder, model, tokenizer, splits, asked, notice)


def _request(
    model: GPT, tokenizer: Tokenizer, splits: Splits, asked: TrainConfig
) -> dict[str, Any]:
    """Return what must be the same for a call to go on: model, settings, tokenizer and text."""
    digest = hashlib.sha256(tokenizer.fingerprint.encode())
    for split in splits:
        digest.update(split.read(0, split.n_tokens).astype("<u4").tobytes())
    return {
        "command": IN_PYTHON,
        "model": as_table(model.config),
        "train": as_table(asked),
        "data": {"fingerprint": digest.hexdigest()[:16]},
    }


def _same(folder: RunFolder, request: dict[str, Any]) -> dict[str, Any]:
    """Return run.toml's tables if the same call made them; tell every difference if not."""
    manifest = folder.read()
    asked = manifest.request
    if asked is None or asked.command != IN_PYTHON:
        raise UsageError(
            f"{folder.path} holds a model that train() did not make; choose another folder as run, "
            "and train on from it with the model of load()"
        )
    # A run of an older version has the settings that came later at their defaults.
    settings = {
        "model": as_table(folder.model_config(asked)),
        "train": as_table(folder.train_config(asked)),
    }
    before, now = flatten(asked.as_table() | settings), flatten(request)
    if different := differences(before, now, sorted(before.keys() | now.keys())):
        raise UsageError(f"{folder.path} holds another training ({'; '.join(different)}); {REMEDY}")
    return manifest.as_table()


def _data_table(tokenizer: Tokenizer, splits: Splits, fingerprint: str) -> dict[str, Any]:
    sizes: dict[str, int] = {}
    for name, split in zip(("train", "val"), splits, strict=True):
        sizes |= {f"{name}_tokens": split.n_tokens, f"{name}_bytes": split.n_bytes}
    return {
        "sources": ["a text in Python"],
        "fingerprint": fingerprint,
        "tokenizer": tokenizer.kind,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "vocab_size": tokenizer.vocab_size,
        "split_rule": "the last tenth of the tokens validates",
        **sizes,
    }
