"""What is wrong with an import or an export, found before any tensor is read and without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from groundup.base.errors import UsageError, nearest
from groundup.base.file_names import RUN_MANIFEST
from groundup.base.regular import refuse_endless
from groundup.runs.base import check_plain
from groundup.runs.classifier import CLASSIFIER, classifier_table, is_classifier
from groundup.runs.folder import RunFolder
from groundup.runs.manifest import Manifest
from groundup.weights.json_object import read_object

PLAIN = ("F32", "BF16", "F16")
DTYPES = {
    "hf": PLAIN,
    "gguf": (*PLAIN, "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"),
    "safetensors": PLAIN,
    "peft": ("F32",),
}
"""The formats that a model goes out in, and the number formats that each knows."""
PEFT_CONFIG = "adapter_config.json"
"""What a folder with an adapter has that `peft` has saved."""
LARGEST_ADAPTER_CONFIG, LONGEST_PATH = 1 << 20, 1024
CONFIGS = ("config.json", "config.toml", "hparams.json")
"""What a folder with a model has, of Hugging Face, of ours, or of OpenAI."""
TOOLS = "the book's GPTModel, nanoGPT, minGPT, nanochat or llama2.c"
"""Whose checkpoints are known."""
KNOWN_FILES = (
    "a Hugging Face folder, OpenAI's folder of GPT-2, a .gguf file, or a checkpoint (.pth, .pt, "
    f".bin, .safetensors) of {TOOLS}"
)
"""What a model comes in."""
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
HUB_NAME = re.compile(rf"({_WORD}/{_WORD})(?:@({_WORD}))?")
"""Owner and name of a model on the Hugging Face hub, and a revision: a commit, tag or branch."""


class IncompleteError(UsageError):
    """An import that lacks words of its command; `words` are all that are to be added to it."""

    def __init__(self, why: str, words: Sequence[str]) -> None:
        super().__init__(f"{why}; add {' '.join(words)}")
        self.why, self.words = why, words


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


def check_exportable(folder: RunFolder, manifest: Manifest, form: str) -> None:
    """Refuse a run that is more than a GPT in a format that has no place for that."""
    if manifest.kind != CLASSIFIER:
        check_plain(folder, manifest)
        return
    if form not in ("hf", "peft"):
        raise is_classifier(
            folder,
            manifest,
            f"--format {form} has no place for its head; export it with --format hf, for "
            "transformers, or use the run itself",
        )
    if classifier_table(folder, manifest).pooling != "last":
        raise is_classifier(
            folder,
            manifest,
            "it decides by the mean over a text's tokens, and the classes of transformers by the "
            "last one; train it with --pooling last, or use the run itself",
        )


def check_source(source: str | Path) -> None:
    """Refuse a source that is not there, is a run already, or holds what is no regular file."""
    path = Path(source)
    refuse_endless(path)
    if (path / RUN_MANIFEST).is_file():
        raise UsageError(f"{source} is a run folder already; use it as it is, or copy it")
    if (path / PEFT_CONFIG).is_file():
        raise UsageError(
            f"{source}: an adapter of peft, which is no model by itself; put the folder of the "
            "base that it names beside it, or import that base, and then this with --from RUN"
        )
    if path.is_dir() and not any((path / name).is_file() for name in CONFIGS):
        raise UsageError(
            f"{source}: no {' or '.join(CONFIGS)} in this folder; give a model's folder of Hugging "
            "Face's, or of 'groundup export'"
        )
    if not (path.is_dir() or path.is_file() or HUB_NAME.fullmatch(str(source))):
        raise UsageError(
            f"{source}: no such file or folder; expected {KNOWN_FILES}, or a hub name such as "
            "openai-community/gpt2"
        )


def is_adapter(source: str | Path) -> bool:
    """Return whether `source` is the folder of an adapter that `peft` has saved."""
    return (Path(source) / PEFT_CONFIG).is_file()


def named_base(source: str | Path) -> Path | None:
    """Return the folder of the base that an adapter of `peft` names: where it says, or beside it.

    None: there is no such folder, as where it names one of the hub, or `source` is no adapter.
    """
    refuse_endless(Path(source))
    if not is_adapter(source):
        return None
    name = read_object(Path(source) / PEFT_CONFIG, LARGEST_ADAPTER_CONFIG).get(
        "base_model_name_or_path"
    )
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) < LONGEST_PATH:
        return None
    places = (Path(name), Path(source).resolve().parent / Path(name).name)
    is_model = (folder for folder in places if any((folder / one).is_file() for one in CONFIGS))
    return next(is_model, None)


def check_adapter(source: str | Path) -> None:
    """Refuse a source that is no adapter which `peft` has saved."""
    refuse_endless(Path(source))
    if not is_adapter(source):
        raise UsageError(
            f"{source}: no {PEFT_CONFIG} in it; --from RUN is for an adapter that peft has saved, "
            "in a folder; import a model without it"
        )
