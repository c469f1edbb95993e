"""Names of files and folders that several rooms know."""

from __future__ import annotations

from pathlib import Path

RUNS, DATA, LAB = Path("runs"), Path("data"), Path("lab")
"""Where runs are, and token shards, and experiments, unless told."""
RUN_MANIFEST = "run.toml"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
CHAT_TEMPLATE = "chat_template.jinja"
