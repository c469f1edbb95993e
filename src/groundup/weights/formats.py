"""The formats of models, each with its reader and its writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from groundup.base.errors import RunError, UsageError
from groundup.base.files import file_error
from groundup.base.regular import open_regular
from groundup.runs.tensor_file import Stored
from groundup.weights.checkpoints import (
    HPARAMS,
    is_llama2c,
    is_pickle,
    read_checkpoint,
    read_llama2c,
    read_openai,
)
from groundup.weights.early_checks import KNOWN_FILES, check_format, check_source
from groundup.weights.gguf import read_gguf, write_gguf
from groundup.weights.groundup_format import CONFIG, read_own, write_own
from groundup.weights.hf import read_hf, read_hub, write_hf
from groundup.weights.pretrained import Exported, Pretrained

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


@dataclass(frozen=True)
class Format:
    """How a format is written and read back; `write` returns what the user should know."""

    write: Callable[[Exported, Path, str | None], list[str]]
    read: Callable[[Path], Pretrained]
    has_card: bool = False


def _write_hf(model: Exported, out: Path, dtype: str | None) -> list[str]:
    return write_hf(with_dtype(model, dtype), out)


def _write_own(model: Exported, out: Path, dtype: str | None) -> list[str]:
    write_own(with_dtype(model, dtype), out)
    return []


def _write_gguf(model: Exported, out: Path, dtype: str | None) -> list[str]:
    return write_gguf(model, out, dtype or _common(model))


FORMATS = {
    "hf": Format(_write_hf, read_hf, has_card=True),
    "gguf": Format(_write_gguf, read_gguf),
    "safetensors": Format(_write_own, read_own),
}


def format_named(name: str, dtype: str | None) -> Format:
    """Return the format called `name`; one that is unknown, or lacks `dtype`, is a UsageError."""
    check_format(name, dtype)
    if name not in FORMATS:
        raise UsageError(f"format '{name}' is for adapters alone: call export_adapter(run, dest)")
    return FORMATS[name]


def open_pretrained(
    source: str | Path,
    trust_pickle: bool,
    settings: Mapping[str, Any] | None = None,
    has_tokenizer: bool = True,
) -> Pretrained:
    """Read a model in any format that is known: its config and tokenizer now, its tensors later.

    `settings` are of a checkpoint whose tensors do not tell them, or the context of longrope. One
    that has no tokenizer is refused unless the caller has one.
    """
    path = Path(source)
    check_source(source)
    try:
        if path.is_file():
            return _open_file(path, trust_pickle, settings or {}, has_tokenizer)
        if path.is_dir():
            return _own_shape(source, settings, partial(_open_folder, path, trust_pickle))
    except OSError as error:
        if error.filename is None:  # a file was opened, and could not be read
            raise file_error(path, error) from error
        raise
    return _own_shape(source, settings, partial(read_hub, str(source), has_tokenizer))


def _own_shape(
    source: str | Path,
    settings: Mapping[str, Any] | None,
    read: Callable[[int | None], Pretrained],
) -> Pretrained:
    """Return what `read` makes of a model that says its own shape; longrope leaves the context."""
    told = dict(settings or {})
    context = told.pop("context_length", None)
    found = None if told else read(context)
    if found is None or context not in (None, found.config.context_length):
        raise UsageError(f"--set: {source} says its own shape; leave it out")
    return found


def _open_folder(path: Path, trust_pickle: bool, context: int | None) -> Pretrained:
    if (path / CONFIG).is_file():
        return read_own(path)
    if (path / HPARAMS).is_file():
        return read_openai(path)
    return read_hf(path, trust_pickle, context)


def _open_file(
    path: Path, trust_pickle: bool, settings: Mapping[str, Any], has_tokenizer: bool
) -> Pretrained:
    """Read a file as what its content says that it is; its name only tells what it should be."""
    with open_regular(path) as file:
        start = file.read(9)
    pickled, named = is_pickle(start), path.suffix.lower()
    if pickled or start[8:] == b"{" or named == ".safetensors":
        return read_checkpoint(path, pickled, trust_pickle, settings, has_tokenizer)
    is_gguf = start[:4] == b"GGUF" or named == ".gguf"
    if is_gguf or is_llama2c(path):
        read = partial(read_gguf, path) if is_gguf else lambda context: read_llama2c(path)
        return _own_shape(path, settings, read)
    remedy = f"give {KNOWN_FILES}"
    if named in (".json", ".index", ".bpe") or ".data-" in path.name:
        remedy = "give the folder it lies in"
    raise RunError(f"{path}: no model format that is known; {remedy}")


Model = TypeVar("Model", Exported, Pretrained)


def with_dtype(model: Model, dtype: str | None) -> Model:
    """Return `model` with every tensor in one number format, converted as it is read."""
    if dtype is None:
        return model
    wanted = DTYPES[dtype]

    def converted(stored: Stored) -> Stored:
        return Stored(stored.shape, wanted, lambda: stored.read().to(wanted))

    tensors = {name: converted(stored) for name, stored in model.tensors.items()}
    head = model.head and replace(model.head, weight=converted(model.head.weight))
    return replace(model, tensors=tensors, head=head)


def _common(model: Exported) -> str:
    """Return the number format of a model's matrices, F32 where they have several."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    found = {stored.dtype for stored in model.tensors.values() if len(stored.shape) > 1}
    return names.get(found.pop(), "F32") if len(found) == 1 else "F32"
