"""The run folder: one place that holds everything a run is and has learnt."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from groundup.base.errors import ConfigError, RunError, quoted
from groundup.base.file_names import CHAT_TEMPLATE, RUN_MANIFEST, TOKENIZER
from groundup.base.files import file_error, read_toml, write_text
from groundup.base.lock import file_lock
from groundup.base.regular import read_bytes, refuse_irregular
from groundup.config import GPTConfig, TrainConfig, build
from groundup.runs.assistant import ASSISTANT
from groundup.runs.find import near_runs
from groundup.runs.manifest import (
    Manifest,
    RequestTable,
    invalid_manifest,
    read_manifest,
    write_manifest,
)

Config = TypeVar("Config", GPTConfig, TrainConfig)


@dataclass(frozen=True)
class RunFolder:
    """Names of the files in a run folder; nothing is created by naming it."""

    path: Path

    @property
    def manifest(self) -> Path:
        """run.toml: everything needed to repeat the run."""
        return self.path / RUN_MANIFEST

    @property
    def tokenizer(self) -> Path:
        """tokenizer.json: the vocabulary that the model speaks."""
        return self.path / TOKENIZER

    @property
    def chat_template(self) -> Path:
        """chat_template.jinja: how a conversation becomes one text, where the model knows one."""
        return self.path / CHAT_TEMPLATE

    @property
    def generation(self) -> Path:
        """generation.toml: how the model is best sampled, where its makers said so."""
        return self.path / "generation.toml"

    @property
    def metrics(self) -> Path:
        """metrics.jsonl: a JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """samples.jsonl: what the model wrote along the way."""
        return self.path / "samples.jsonl"

    @property
    def classification(self) -> Path:
        """classification.json: what the test of a classifier showed."""
        return self.path / "classification.json"

    @property
    def assistant(self) -> Path:
        """assistant.json: what the test of an assistant showed."""
        return self.path / "assistant.json"

    @property
    def replies(self) -> Path:
        """replies.jsonl: all test questions of an assistant, with its replies before and after."""
        return self.path / "replies.jsonl"

    @property
    def judgements(self) -> Path:
        """judgements.jsonl: what a judge answered, which compared these."""
        return self.path / "judgements.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, one folder a step."""
        return self.path / "checkpoints"

    @property
    def replay(self) -> Path:
        """Batches that something was wrong with, a folder each."""
        return self.path / "replay"

    @property
    def lock(self) -> Path:
        """Held by the process that trains here."""
        return self.path / "lock"

    @property
    def report(self) -> Path:
        """report.html: the run on one page."""
        return self.path / "report.html"

    def exists(self) -> bool:
        """Tell whether a run has begun here; what is no file under the name of one is refused."""
        return os.path.lexists(self.manifest)

    def read(self) -> Manifest:
        """Return what run.toml says; a folder that is no run is a one-line `RunError`."""
        try:
            refuse_irregular(self.path)
            return read_manifest(self.manifest)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(self._no_run()) from error
        except OSError as error:
            raise file_error(self.manifest, error) from error

    def model_config(self, tables: Manifest | RequestTable) -> GPTConfig:
        """Return the shape of the model in run.toml, or in its [request]; or raise `RunError`.

        It may name a part that groundup does not have: see `groundup.runs.foreign`.
        """
        return self._config(GPTConfig, tables.as_table().get("model"), "the shape of a model")

    def train_config(self, tables: Manifest | RequestTable) -> TrainConfig:
        """Return the settings in run.toml, or in its [request]; or raise `RunError`."""
        table = tables.as_table().get("train")
        if isinstance(tables, Manifest) and isinstance(table, dict):
            # What there was before there was a choice.
            of_muon = table.get("precision", "fp32")
            table = {"products": "default", "muon_precision": of_muon} | table
        return self._config(TrainConfig, table, "the settings of a training")

    def _config(self, kind: type[Config], table: object, what: str) -> Config:
        if not isinstance(table, dict):
            raise invalid_manifest(self.manifest, f"{what}, but found {quoted(table)}")
        try:
            return build(kind, table, open_names=True)
        except ConfigError as error:
            raise invalid_manifest(self.manifest, f"{what}, but {error}") from error

    def _no_run(self) -> str:
        """Say that this is no run, and what makes one; a model of another format is imported."""
        lacks = f"{self.path} is not a run folder (no run.toml in it)"
        if self.path.is_file() or (self.path / "config.json").is_file():
            return f"{lacks}; 'groundup import {self.path}' makes one"
        lists = "'groundup runs' lists runs, 'groundup train' makes one"
        return f"{lacks}; {near_runs(self.path) or lists}"

    def write(self, manifest: Manifest) -> None:
        """Write run.toml whole."""
        write_manifest(self.manifest, manifest)

    def read_generation(self) -> dict[str, Any]:
        """Return the settings in generation.toml, none where there is no such file."""
        return read_toml(self.generation) if self.generation.exists() else {}

    def read_chat_template(self) -> str | None:
        """Return the text of chat_template.jinja, None where there is no such file.

        An assistant is nothing without the template by which it learnt: there it is a `RunError`.
        """
        try:
            return read_bytes(self.chat_template, links=False).decode("utf-8")
        except FileNotFoundError:
            if self.exists() and self.read().kind == ASSISTANT:
                raise RunError(
                    f"{self.path} is an assistant, but {self.chat_template} is gone; restore it"
                ) from None
            return None
        except (OSError, ValueError) as error:
            raise RunError(f"{self.chat_template}: {error}; correct or remove it") from error

    def write_chat_settings(self, chat_template: str | None, generation: dict[str, Any]) -> None:
        """Write chat_template.jinja and generation.toml, where there is anything in them."""
        if chat_template is not None:
            write_text(self.chat_template, chat_template)
        if generation:
            write_text(self.generation, tomli_w.dumps(generation))


@contextlib.contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a run folder, or raise `RunError` naming the process that trains there."""

    def refuse(holder: str) -> None:
        raise RunError(
            f"{path.parent}: process {holder} is training here; wait for it, stop it, or choose "
            "another --run name"
        )

    refuse_irregular(path.parent)
    with file_lock(path, refuse):
        yield


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
