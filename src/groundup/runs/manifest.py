"""run.toml: everything needed to repeat a run, and where a model is from that was not trained here.

Each table is a small dataclass. A table or key that a run does not have is None. What a later
version has added is kept in `others`, and written again where it stood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import tomli_w

from groundup.base.errors import RunError, quoted, shown
from groundup.base.files import write_text
from groundup.base.parse import parse_toml
from groundup.base.regular import read_bytes
from groundup.config.adaptation import is_adapter
from groundup.config.fields import field_types

FORMAT = 1
"""Version of the run folder's layout; a newer one is refused rather than misread."""
PRETRAINING = "pretraining"
"""The kind of training that [job] need not name."""
REMEDY = "restore it or train under another --run name"


@dataclass(frozen=True, kw_only=True)
class TomlTable:
    """A table of run.toml, from and to plain values."""

    others: dict[str, Any] = field(default_factory=dict)
    """Keys that this version does not know, or knows with values of another type."""
    order: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """The keys as they stood in the file."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the table with these values; a `TypeError` where one is lacking that must be."""
        known: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for key, value in values.items():
            name, kinds = _fields(cls).get(key, (key, ()))
            table = next((kind for kind in kinds if issubclass(kind, TomlTable)), None)
            if table and isinstance(value, dict):
                value = table.of(value)
            if isinstance(value, kinds) and not isinstance(value, bool):
                known[name] = value
            else:
                others[key] = value
        return cls(**known, others=others, order=tuple(values))

    def as_table(self) -> dict[str, Any]:
        """Return everything in it as plain values, in the order of the file."""
        values = {key: getattr(self, name) for key, (name, _) in _fields(type(self)).items()}
        plain = {
            key: value.as_table() if isinstance(value, TomlTable) else value
            for key, value in values.items()
            if value is not None
        } | self.others
        return {key: plain[key] for key in self.order if key in plain} | plain


def _fields(cls: type) -> dict[str, tuple[str, tuple[type, ...]]]:
    """Return the keys of a table, each with the name of its field and the types that it takes."""
    return {
        name.rstrip("_"): (name, (*kinds, int) if float in kinds else kinds)
        for name, kinds in field_types(cls).items()
        if name not in ("others", "order")
    }


@dataclass(frozen=True, kw_only=True)
class DataTable(TomlTable):
    """[data]: the text, its tokenizer, and how it was divided."""

    sources: list[str] | None = None
    fingerprint: str | None = None
    """Of the tokens, as text, tokenizer and split determine them."""
    folder: str | None = None
    """Where the token shards are."""
    tokenizer: str | None = None
    """Its kind."""
    tokenizer_fingerprint: str | None = None
    vocab_size: int | None = None
    split_rule: str | None = None
    train_tokens: int | None = None
    train_bytes: int | None = None
    train_documents: int | None = None
    val_tokens: int | None = None
    val_bytes: int | None = None
    val_documents: int | None = None


@dataclass(frozen=True, kw_only=True)
class OriginTable(TomlTable):
    """[request.from]: the run whose weights this one started from."""

    name: str | None = None
    """Of the published model that they stem from."""
    family: str | None = None
    """Of that model: its class in `transformers` expresses what was trained on from it, too."""
    licence: str | None = None
    run: str | None = None
    weights: str | None = None
    """SHA-256 of their file."""


@dataclass(frozen=True, kw_only=True)
class RequestTable(TomlTable):
    """[request]: what was asked for, before anything was decided."""

    command: str | list[str] | None = None
    """A text; the first runs had its words."""
    preset: str | None = None
    model: dict[str, Any] | None = None
    """The `GPTConfig` asked for."""
    train: dict[str, Any] | None = None
    """The `TrainConfig` asked for."""
    changes: dict[str, Any] | None = None
    """What was set otherwise than in the preset or the base."""
    job: dict[str, Any] | None = None
    """The settings of the job itself that were asked for."""
    text: dict[str, Any] | None = None
    """How the text is read."""
    data: dict[str, Any] | None = None
    """The fingerprint of what was read, and the end of text that the user gave."""
    from_: OriginTable | None = None


@dataclass(frozen=True, kw_only=True)
class SourceTable(TomlTable):
    """[source]: where an imported model is from."""

    format: str | None = None
    path: str | None = None
    family: str | None = None
    name: str | None = None
    revision: str | None = None
    """The commit of a model of the hub."""
    licence: str | None = None
    files: dict[str, str] | None = None
    """SHA-256 of every file with weights in it."""


@dataclass(frozen=True, kw_only=True)
class SavedTable(TomlTable):
    """[saved]: who wrote a model that was in memory, or made one of a run and its base."""

    by: str | None = None
    from_: OriginTable | None = None
    """The run that it was made of, where it was one."""


@dataclass(frozen=True, kw_only=True)
class QuantizationTable(TomlTable):
    """[quantization]: the bits of the weights, and the run that they were made from."""

    bits: int | None = None
    vector_bits: int | None = None
    """Of the vectors that the matrices multiply."""
    run: str | None = None
    weights: str | None = None
    """SHA-256 of the file that they were made from."""
    family: str | None = None
    """Of the published model that the run stems from."""


@dataclass(frozen=True, kw_only=True)
class MachineTable(TomlTable):
    """[machine]: what the run was computed on."""

    platform: str | None = None
    cpu: str | None = None
    cores: int | None = None
    instructions: str | None = None
    memory_gib: float | None = None
    gpu: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlanTable(TomlTable):
    """[plan]: what the run was expected to take."""

    parameters: int | None = None
    flops_per_token: float | None = None
    seconds_per_step: float | None = None
    """As measured in the first steps."""
    expected_seconds: float | None = None
    memory_mib: dict[str, float] | None = None
    """The terms of the memory, and their total."""
    memory_unknown: list[str] | None = None
    """Terms that nobody could foresee, of a part that groundup does not have."""
    decisions: list[dict[str, Any]] | None = None
    """What was decided in the course of a run that has so many minutes."""


@dataclass(frozen=True, kw_only=True)
class JobTable(TomlTable):
    """[job]: the kind of training; without it, a model was pretrained."""

    kind: str | None = None
    labels: list[str] | None = None
    """Of a classifier: what its scores are called, in their order."""
    settings: dict[str, Any] | None = None
    """Of the job itself, with every automatic choice made."""
    reasons: dict[str, str] | None = None
    """Why these fell as they did."""
    tensors: dict[str, list[int]] | None = None
    """What a checkpoint holds that a GPT lacks, such as a head: shapes by name."""


@dataclass(frozen=True, kw_only=True)
class BaseTable(TomlTable):
    """[base]: the checkpoint that holds the weights which this run does not learn."""

    run: str | None = None
    step: int | None = None
    sha256: str | None = None
    """Of the file with its weights."""


@dataclass(frozen=True, kw_only=True)
class AdapterTable(TomlTable):
    """[adapter]: what the adapters among the tensors of [job] make of the base's matrices."""

    method: str | None = None
    """lora or dora."""
    rank: int | None = None
    alpha: float | None = None


@dataclass(frozen=True, kw_only=True)
class OwnTable(TomlTable):
    """[own]: the seal of the user who has named all paths in it; see `groundup.runs.own`."""

    paths: str | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest(TomlTable):
    """All of run.toml, its tables in the order in which they are written."""

    model: dict[str, Any]
    """The `GPTConfig`; `RunFolder.model_config` builds it."""
    train: dict[str, Any] | None = None
    """The `TrainConfig`, with every automatic choice made; `RunFolder.train_config` builds it."""
    data: DataTable
    job: JobTable | None = None
    base: BaseTable | None = None
    adapter: AdapterTable | None = None
    choices: dict[str, Any] | None = None
    """Every automatic choice and, in `reasons`, why."""
    request: RequestTable | None = None
    source: SourceTable | None = None
    saved: SavedTable | None = None
    versions: dict[str, str] | None = None
    """Of Python, of this package and of those that it computes with."""
    machine: MachineTable | None = None
    plan: PlanTable | None = None
    quantization: QuantizationTable | None = None
    own: OwnTable | None = None

    @property
    def kind(self) -> str:
        """The kind of training."""
        return (self.job and self.job.kind) or PRETRAINING

    @property
    def origin(self) -> OriginTable | None:
        """The run that this one's weights started from, or were made of."""
        told = self.request or self.saved
        return told.from_ if told else None

    @property
    def family(self) -> str | None:
        """The family of the published model that this is, or that its weights stem from, if any."""
        tables = (self.source, self.origin, self.quantization)
        return next((table.family for table in tables if table and table.family), None)

    @property
    def extra(self) -> dict[str, list[int]]:
        """What a checkpoint holds that a GPT lacks, adapters apart: shapes by name."""
        return {name: shape for name, shape in self._listed() if not self._of_adapter(name)}

    @property
    def adapters(self) -> dict[str, list[int]]:
        """The tensors of adapters that a checkpoint holds: shapes by name."""
        return {name: shape for name, shape in self._listed() if self._of_adapter(name)}

    def _listed(self) -> Iterable[tuple[str, list[int]]]:
        return ((self.job and self.job.tensors) or {}).items()

    def _of_adapter(self, name: str) -> bool:
        return self.adapter is not None and is_adapter(name)


def read_manifest(path: Path) -> Manifest:
    """Read a run.toml of any version so far; what is wrong with it is a one-line `RunError`.

    What the operating system refuses is an `OSError`.
    """
    try:
        tables = parse_toml(read_bytes(path, links=False))
    except ValueError as error:
        raise invalid_manifest(path, f"TOML, but {shown(str(error), 200)}") from error
    if tables.get("format") != FORMAT:
        raise RunError(
            f"{path}: format {quoted(tables.get('format'))}, this groundup reads "
            f"format {FORMAT}; use the version named in [versions]"
        )
    del tables["format"]
    needed = ("model", "data")
    if missing := [name for name in needed if name not in tables]:
        raise invalid_manifest(path, f"the tables {', '.join(needed)}, but {missing[0]} is missing")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise invalid_manifest(path, f"only tables, but {shown(name)} is {quoted(table)}")
    return Manifest.of(tables)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a run.toml whole."""
    write_text(path, tomli_w.dumps({"format": FORMAT, **manifest.as_table()}))


def invalid_manifest(path: Path, expected: str) -> RunError:
    """Return the error about a run.toml that does not hold what was expected."""
    return RunError(f"{path}: expected {expected}; {REMEDY}")
