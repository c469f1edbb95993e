"""Checkpoints of nanoGPT (github.com/karpathy/nanoGPT): a pickle, read without running it."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.base.errors import ConfigError, RunError, UsageError, shown
from groundup.config import GPTConfig
from groundup.runs.manifest import SourceTable
from groundup.runs.tensor_file import Stored
from groundup.weights.hf.names import GPT2
from groundup.weights.pretrained import Pretrained
from groundup.weights.tensor_names import to_ours

COMPILED = "_orig_mod."
"""What torch.compile puts before every name."""
NAMES = replace(GPT2, layouts={})
"""GPT-2's names, with linear layers in PyTorch's own layout."""


def read_nanogpt(file: Path, trust_pickle: bool) -> Pretrained:
    """Read a ckpt.pt with PyTorch's unpickler of weights only, which runs no code of the file.

    nanoGPT has the exact GELU, tied embeddings, and biases everywhere or nowhere.
    Its characters lie in a second pickle, so that a tokenizer must be given.
    """
    if not trust_pickle:
        raise UsageError(
            f"{file} is a pickle, a format that can run code; if you trust where it comes from, "
            "add --trust-pickle (only its weights are read)"
        )
    checkpoint = _unpickled(file)
    try:
        arguments, found = checkpoint["model_args"], checkpoint["model"]
        config = _config(arguments)
        weights = {
            str(name).removeprefix(COMPILED): _tensor(value) for name, value in found.items()
        }
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, ConfigError) as error:
        raise RunError(
            f"{file}: expected nanoGPT's 'model' and 'model_args', but {error!r}; give a ckpt.pt "
            "that nanoGPT's train.py wrote"
        ) from error
    stored = {name: Stored(tuple(t.shape), t.dtype, t.clone) for name, t in weights.items()}
    return Pretrained(
        config=config,
        tensors=to_ours(stored, config, NAMES, file),
        tokenizer=None,
        source=SourceTable(format="nanogpt", family="gpt2", name=file.stem),
    )


def _unpickled(file: Path) -> dict[str, Any]:
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:  # whose words tell how to run it all the same
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it asks for {shown(found[1])}" if found else "it asks for more"
        raise RunError(
            f"{file}: expected a checkpoint of tensors and plain values, but {what}, which may run "
            "anything; such a file is never opened here: get the weights as safetensors"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(
            f"{file}: expected a checkpoint of tensors and plain values, but {reason}; save it "
            "again with a current PyTorch"
        ) from error
    return loaded if isinstance(loaded, dict) else {}


def _config(arguments: dict[str, Any]) -> GPTConfig:
    bias = bool(arguments["bias"])
    return GPTConfig(
        vocab_size=int(arguments["vocab_size"]),
        context_length=int(arguments["block_size"]),
        emb_dim=int(arguments["n_embd"]),
        n_heads=int(arguments["n_head"]),
        n_layers=int(arguments["n_layer"]),
        drop_rate=float(arguments.get("dropout", 0.0)),
        qkv_bias=bias,
        bias=bias,
        feed_forward="gelu",
        tie_embeddings=True,
    )


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise TypeError(f"a parameter is {type(value).__name__}, not a tensor of numbers")
    return value
