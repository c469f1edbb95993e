"""Names of files and folders that several rooms know."""

from __future__ import annotations

from pathlib import Path

from groundup.base.errors import UsageError

RUNS, DATA, LAB = Path("runs"), Path("data"), Path("lab")
"""Where runs are, and token shards, and experiments, unless told."""
RUN_MANIFEST = "run.toml"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
CHAT_TEMPLATE = "chat_template.jinja"
PAGE_MARK = '<meta name="generator" content="groundup">'
"""Stands in the head of every page of ours, and tells it from a text."""


def check_name(name: str | Path) -> None:
    """Refuse a name that is not UTF-8, which no run and no model can write down."""
    try:
        str(name).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{str(name)!a}: a name that is not UTF-8, which no run can write down; rename it, or "
            "give the folder that it is in"
        ) from error
