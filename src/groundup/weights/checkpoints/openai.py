"""GPT-2 as OpenAI published it: a folder with a TensorFlow checkpoint, hparams.json, encoder.json
and vocab.bpe; so is what others have fine-tuned of it with TensorFlow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from groundup.base.errors import ConfigError, RunError
from groundup.base.regular import read_bytes
from groundup.config import GPTConfig, build
from groundup.runs.manifest import SourceTable
from groundup.runs.tensor_file import Stored
from groundup.tokenizer import Tokenizer
from groundup.weights.checkpoints.tensorflow import read_tensors
from groundup.weights.hf.byte_level import END_OF_TEXT, read_byte_level
from groundup.weights.hf.names import GPT2
from groundup.weights.json_object import read_object
from groundup.weights.pretrained import Pretrained
from groundup.weights.tensor_names import to_ours

HPARAMS = "hparams.json"
LARGEST = 1 << 20
SETTINGS = {
    "n_vocab": "vocab_size",
    "n_ctx": "context_length",
    "n_embd": "emb_dim",
    "n_head": "n_heads",
    "n_layer": "n_layers",
}
KINDS = {"w": "weight", "g": "weight", "b": "bias"}
_OTHERS = re.compile(r"(/Adam(_\d)?|beta\d_power(_\d)?|global_step)$")
"""What is left of training: no parameters."""


def read_openai(folder: Path) -> Pretrained:
    """Read a folder as OpenAI's download_model.py makes it; weights stay in fp32.

    What is damaged, missing or misshapen is a one-line error.
    """
    config = _config(folder / HPARAMS)
    index = _index(folder)
    found = {
        _name(name): _without_ones(stored)
        for name, stored in read_tensors(index).items()
        if not _OTHERS.search(name)
    }
    tokenizer = _tokenizer(folder)
    return Pretrained(
        config=config,
        tensors=to_ours(found, config, GPT2, index),
        tokenizer=tokenizer,
        source=SourceTable(
            format="openai", path=str(folder), family="gpt2", name=folder.resolve().name
        ),
        notices=[] if tokenizer else [f"{folder} has no encoder.json and vocab.bpe"],
    )


def _config(file: Path) -> GPTConfig:
    values = read_object(file, LARGEST)
    if missing := [name for name in SETTINGS if name not in values]:
        raise RunError(f"{file}: no {', '.join(missing)} in it; fetch it again")
    told: dict[str, Any] = {ours: values[theirs] for theirs, ours in SETTINGS.items()}
    try:
        return build(GPTConfig, {**told, "qkv_bias": True, "bias": True, "tie_embeddings": True})
    except ConfigError as error:
        raise RunError(f"{file}: {error}; fetch it again") from error


def _index(folder: Path) -> Path:
    """Return the index of the checkpoint; of several, the one that the file `checkpoint` names."""
    found = {path.stem: path for path in sorted(folder.glob("*.index"))}
    if len(found) == 1:
        return next(iter(found.values()))
    named = None
    if (file := folder / "checkpoint").is_file():
        text = read_bytes(file, LARGEST).decode("utf-8", "replace")
        named = re.search(r'^model_checkpoint_path: "(?:[^"\n]*[/\\])?([^"/\\\n]+)"', text, re.M)
    if not named or named[1] not in found:
        raise RunError(
            f"{folder}: {len(found)} files *.index, and none that the file checkpoint names; "
            "expected model.ckpt.index and model.ckpt.data-00000-of-00001"
        )
    return found[named[1]]


def _name(theirs: str) -> str:
    """Return Hugging Face's name of a variable such as model/h0/attn/c_attn/w."""
    *path, last = theirs.removeprefix("model/").split("/")
    path = [re.sub(r"^h(\d+)$", r"h.\1", part) for part in path]
    if path and last in KINDS:
        return ".".join([*path, KINDS[last]])
    return ".".join([*path, last, "weight"])


def _without_ones(stored: Stored) -> Stored:
    """Return a matrix without the width of 1 that its convolution had."""
    if len(stored.shape) != 3 or stored.shape[0] != 1:
        return stored
    return Stored(stored.shape[1:], stored.dtype, lambda: stored.read()[0])


def _tokenizer(folder: Path) -> Tokenizer | None:
    files = folder / "encoder.json", folder / "vocab.bpe"
    if not all(file.is_file() for file in files):
        return None
    return read_byte_level(*files, special=[END_OF_TEXT])
