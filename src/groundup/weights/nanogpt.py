"""Checkpoints of nanoGPT (github.com/karpathy/nanoGPT): a pickle, read without running it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.base.errors import ConfigError, RunError, UsageError
from groundup.config import GPTConfig, parameter_shapes
from groundup.weights.naming import check_parameters
from groundup.weights.pretrained import Pretrained, Stored

COMPILED = "_orig_mod."
"""What torch.compile puts before every name."""
FUSED = "attn.c_attn"
BLOCK = {
    "attn_norm": "ln_1",
    "attn.out": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn.up": "mlp.c_fc",
    "ffn.down": "mlp.c_proj",
}
ENDS = {
    "token_embedding": "transformer.wte",
    "position_embedding": "transformer.wpe",
    "final_norm": "transformer.ln_f",
}


def read_nanogpt(file: Path, trust_pickle: bool) -> Pretrained:
    """Read a ckpt.pt with PyTorch's unpickler of weights only, which runs no code of the file.

    nanoGPT bends with the exact GELU, ties its embeddings, and has biases everywhere or nowhere.
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
    if config.n_layers > len(weights):  # before so many are named
        raise RunError(
            f"{file} holds {len(weights)} tensors, too few for n_layer = {config.n_layers:,}; save "
            "it again"
        )
    weights.pop("lm_head.weight", None)  # tied: the token embedding again
    tensors = _named(config, weights)
    check_parameters(tensors, parameter_shapes(config), file)
    return Pretrained(
        config=config,
        tensors=tensors,
        tokenizer=None,
        source={"format": "nanogpt", "family": "gpt2", "name": file.stem},
    )


def _unpickled(file: Path) -> dict[str, Any]:
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
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


def _named(config: GPTConfig, weights: dict[str, Tensor]) -> dict[str, Stored]:
    """Return the tensors under our names; what has no name of ours keeps its own."""
    named = {}
    left = dict(weights)
    for module, theirs in _modules(config).items():
        for kind in ("weight", "bias"):
            if (tensor := left.pop(f"{theirs}.{kind}", None)) is not None:
                named[f"{module}.{kind}"] = tensor
    for i in range(config.n_layers):
        for kind in ("weight", "bias"):
            name = f"transformer.h.{i}.{FUSED}.{kind}"
            if name not in left or left[name].shape[:1] != (3 * config.emb_dim,):
                continue
            fused = left.pop(name)
            for module, part in zip(("query", "key", "value"), fused.chunk(3), strict=True):
                named[f"blocks.{i}.attn.{module}.{kind}"] = part
    masks = {name for name in left if name.endswith(".attn.bias")}  # of old PyTorch versions
    named |= {name: tensor for name, tensor in left.items() if name not in masks}
    return {
        name: Stored(tuple(tensor.shape), tensor.dtype, tensor.clone)
        for name, tensor in named.items()
    }


def _modules(config: GPTConfig) -> dict[str, str]:
    blocks = {
        f"blocks.{i}.{ours}": f"transformer.h.{i}.{theirs}"
        for i in range(config.n_layers)
        for ours, theirs in BLOCK.items()
    }
    return ENDS | blocks
