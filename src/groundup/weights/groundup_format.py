"""A folder in our own names: safetensors, the config as TOML, and what goes with them."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from groundup.base.errors import ConfigError, RunError, shown
from groundup.base.file_names import CHAT_TEMPLATE, TOKENIZER, WEIGHTS
from groundup.base.files import make_folder, write_text
from groundup.base.parse import parse_toml
from groundup.base.regular import read_bytes
from groundup.config import GPTConfig, as_table, build
from groundup.runs.load import check_shapes
from groundup.runs.manifest import SourceTable
from groundup.runs.tensor_file import read_safetensors, write_safetensors
from groundup.tokenizer import load_tokenizer
from groundup.weights.pretrained import Exported, Pretrained

CONFIG = "config.toml"
MOST_BYTES = 1 << 20
"""No config.toml of a model is longer."""


def write_own(model: Exported, folder: Path) -> None:
    """Write `model` into the new folder `folder`."""
    make_folder(folder)
    write_safetensors(folder / WEIGHTS, model.tensors, None)
    write_text(folder / TOKENIZER, model.tokenizer.to_json())
    if model.chat_template is not None:
        write_text(folder / CHAT_TEMPLATE, model.chat_template)
    tables = {
        "name": model.name,
        **({"family": model.family} if model.family else {}),
        "model": as_table(model.config),
        "generation": model.generation,
    }
    write_text(folder / CONFIG, tomli_w.dumps(tables))


def read_own(folder: Path) -> Pretrained:
    """Read what `write_own` wrote; what is damaged is a one-line error."""
    file = folder / CONFIG
    try:
        tables = parse_toml(read_bytes(file, MOST_BYTES))
        config = build(GPTConfig, tables["model"])
        generation = dict(tables.get("generation", {}))
    except (ConfigError, ValueError, TypeError, KeyError) as error:
        reason = f"but {shown(str(error), 200)}; export it anew"
        raise RunError(f"{file}: expected a model's config, {reason}") from error
    family, tensors = tables.get("family"), read_safetensors(folder / WEIGHTS)
    check_shapes(config, tensors, folder / WEIGHTS, "its config")
    return Pretrained(
        config=config,
        tensors=tensors,
        tokenizer=load_tokenizer(folder / TOKENIZER),
        chat_template=_chat_template(folder / CHAT_TEMPLATE),
        generation=generation,
        source=SourceTable(
            format="safetensors",
            name=str(tables.get("name", folder.name)),
            family=str(family) if family else None,
        ),
    )


def _chat_template(file: Path) -> str | None:
    try:
        return read_bytes(file).decode("utf-8") if file.is_file() else None
    except ValueError as error:
        raise RunError(f"{file}: expected UTF-8, but {error}; correct or remove it") from error
