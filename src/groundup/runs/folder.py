"""The run folder: one place that holds everything a run is and has learnt."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from groundup.base.errors import ConfigError, RunError, quoted, shown
from groundup.base.files import file_error, read_bytes, read_toml, write_text
from groundup.base.lock import file_lock
from groundup.base.parse import parse_toml
from groundup.config import GPTConfig, TrainConfig, build
from groundup.runs.find import MANIFEST, near_runs

Config = TypeVar("Config", GPTConfig, TrainConfig)

TABLES = ("model", "data")
FORMAT = 1
"""Version of the run folder's layout; a newer one is refused rather than misread."""


@dataclass(frozen=True)
class RunFolder:
    """Names of the files in a run folder; nothing is created by naming it."""

    path: Path

    @property
    def manifest(self) -> Path:
        """run.toml: everything needed to repeat the run."""
        return self.path / MANIFEST

    @property
    def tokenizer(self) -> Path:
        """tokenizer.json: the vocabulary that the model speaks."""
        return self.path / "tokenizer.json"

    @property
    def chat_template(self) -> Path:
        """chat_template.jinja: how a conversation becomes one text, where the model knows one."""
        return self.path / "chat_template.jinja"

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
        """Tell whether a run has begun here."""
        return self.manifest.is_file()

    def read(self) -> dict[str, Any]:
        """Return the tables of run.toml; a folder that is no run is a one-line `RunError`."""
        try:
            tables = parse_toml(read_bytes(self.manifest))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(self._no_run()) from error
        except OSError as error:
            raise file_error(self.manifest, error) from error
        except ValueError as error:
            raise self._odd(f"TOML, but {shown(str(error), 200)}") from error
        if tables.get("format") != FORMAT:
            raise RunError(
                f"{self.manifest}: format {quoted(tables.get('format'))}, this groundup reads "
                f"format {FORMAT}; use the version named in [versions]"
            )
        if missing := [name for name in TABLES if name not in tables]:
            raise self._odd(f"the tables {', '.join(TABLES)}, but {missing[0]} is missing")
        for name, table in tables.items():
            if name != "format" and not isinstance(table, dict):
                raise self._odd(f"only tables, but {shown(name)} is {quoted(table)}")
        return tables

    def model_config(self, tables: dict[str, Any]) -> GPTConfig:
        """Return the shape of the model that run.toml tells of, or raise a one-line `RunError`.

        It may name a part that groundup does not have: see `groundup.runs.foreign`.
        """
        return self._config(GPTConfig, tables.get("model"), "the shape of a model")

    def train_config(self, tables: dict[str, Any]) -> TrainConfig:
        """Return the settings that run.toml, or its [request], tells of; or raise `RunError`."""
        return self._config(TrainConfig, tables.get("train"), "the settings of a training")

    def _config(self, kind: type[Config], table: object, what: str) -> Config:
        if not isinstance(table, dict):
            raise self._odd(f"{what}, but found {quoted(table)}")
        try:
            return build(kind, table, open_names=True)
        except ConfigError as error:
            raise self._odd(f"{what}, but {error}") from error

    def _odd(self, expected: str) -> RunError:
        remedy = "restore it or train under another --run name"
        return RunError(f"{self.manifest}: expected {expected}; {remedy}")

    def _no_run(self) -> str:
        """Say that this is no run, and what makes one; a model of another format is imported."""
        lacks = f"{self.path} is not a run folder (no run.toml in it)"
        if self.path.is_file() or (self.path / "config.json").is_file():
            return f"{lacks}; 'groundup import {self.path}' makes one"
        lists = "'groundup runs' lists runs, 'groundup train' makes one"
        return f"{lacks}; {near_runs(self.path) or lists}"

    def write(self, tables: dict[str, Any]) -> None:
        """Write run.toml whole."""
        write_text(self.manifest, tomli_w.dumps({"format": FORMAT, **tables}))

    def read_generation(self) -> dict[str, Any]:
        """Return the settings in generation.toml, none where there is no such file."""
        return read_toml(self.generation) if self.generation.exists() else {}

    def read_chat_template(self) -> str | None:
        """Return the text of chat_template.jinja, None where there is no such file."""
        try:
            return self.chat_template.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as error:
            raise RunError(f"{self.chat_template}: {error}; correct or remove it") from error

    def write_manners(self, chat_template: str | None, generation: dict[str, Any]) -> None:
        """Write the two files that say how to talk with the model, where there is anything."""
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
