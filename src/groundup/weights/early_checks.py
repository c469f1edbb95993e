"""What is wrong with an import or an export, found before any tensor is read and without torch."""

from __future__ import annotations

import re
from pathlib import Path

from groundup.base.errors import UsageError, nearest
from groundup.base.file_names import RUN_MANIFEST

PLAIN = ("F32", "BF16", "F16")
DTYPES = {
    "hf": PLAIN,
    "gguf": (*PLAIN, "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"),
    "safetensors": PLAIN,
}
"""The formats that a model goes out in, and the number formats that each knows."""
CONFIGS = ("config.json", "config.toml")
"""What a folder with a model has, of Hugging Face or of ours."""
HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
"""Owner and name of a model on the Hugging Face hub."""


def check_format(name: str, dtype: str | None) -> None:
    """Refuse a format that is unknown, or lacks `dtype`."""
    if name not in DTYPES:
        raise UsageError(
            f"format '{name}': expected one of {', '.join(DTYPES)}; {nearest(name, DTYPES)}"
        )
    if dtype is not None and dtype.upper() not in DTYPES[name]:
        names = [kind.lower() for kind in DTYPES[name]]
        raise UsageError(
            f"dtype '{dtype}': {name} has {', '.join(names)}; {nearest(dtype.lower(), names)}"
        )


def check_source(source: str | Path) -> None:
    """Refuse a source that is not there, or is a run already."""
    path = Path(source)
    if (path / RUN_MANIFEST).is_file():
        raise UsageError(f"{source} is a run folder already; use it as it is, or copy it")
    if path.is_dir() and not any((path / name).is_file() for name in CONFIGS):
        raise UsageError(
            f"{source}: no {' or '.join(CONFIGS)} in this folder; give a model's folder of Hugging "
            "Face's, or of 'groundup export'"
        )
    if not (path.is_dir() or path.is_file() or HUB_NAME.fullmatch(str(source))):
        raise UsageError(
            f"{source}: no such file or folder; expected a Hugging Face folder, a .gguf file, a "
            "nanoGPT ckpt.pt, or a hub name such as openai-community/gpt2"
        )
