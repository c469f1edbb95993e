"""nanoGPT and minGPT (github.com/karpathy): GPT-2's names, and linear layers as PyTorch has them.

The two differ in their GELU: nanoGPT's is the exact one, minGPT's the tanh form. A checkpoint of
nanoGPT's trainer says what it is. Of a state dict alone, biases that are absent are nanoGPT's, and
an output head of its own is minGPT's; where neither tells, it has to be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from groundup.weights.checkpoints.kind import Kind
from groundup.weights.checkpoints.state_dict import StateDict
from groundup.weights.hf.names import GPT2
from groundup.weights.tensor_names import Names

FIRST = "transformer.h.0.attn.c_attn.weight"
HEADS = {
    "openai-gpt": 12,
    "gpt2": 12,
    "gpt2-medium": 16,
    "gpt2-large": 20,
    "gpt2-xl": 25,
    "gopher-44m": 16,
    "gpt-mini": 6,
    "gpt-micro": 4,
    "gpt-nano": 3,
}
"""Of the model types that minGPT knows."""
_HEAD, _EMBEDDING = "lm_head.weight", "transformer.wte.weight"
_NAMES: Names = replace(GPT2, layouts={})
_FIXED = {"norm": "layernorm", "norm_eps": 1e-5, "norm_order": "pre", "position": "learned"}

NANOGPT = Kind(
    name="nanogpt",
    title="nanoGPT",
    names=_NAMES,
    fixed={**_FIXED, "feed_forward": "gelu", "tie_embeddings": True},
)


def _mingpt_config(state: StateDict) -> Mapping[str, Any]:
    """Return the model's part of the config.json that minGPT writes beside its model.pt."""
    whole = state.beside("config.json")
    told = whole.get("model", whole)
    told = dict(told) if isinstance(told, Mapping) else {}
    kind = told.pop("model_type", None)
    if isinstance(kind, str) and kind in HEADS:
        told["n_head"] = HEADS[kind]
    return told


MINGPT = Kind(
    name="mingpt",
    title="minGPT",
    names=_NAMES,
    fixed={**_FIXED, "feed_forward": "gelu_tanh", "tie_embeddings": False},
    told=_mingpt_config,
)
EITHER = replace(
    NANOGPT,
    title="nanoGPT (feed_forward=gelu) or minGPT (gelu_tanh)",
    fixed={**_FIXED, "tie_embeddings": True},
    asked={"n_heads": "12", "feed_forward": "gelu"},
    told=_mingpt_config,
)


def gpt2_like(state: StateDict) -> Kind | None:
    """Return which of the tools wrote `state`; None: it is GPT-2 as Hugging Face keeps it."""
    shape = state.tensors[FIRST].shape
    if len(shape) == 2 and shape[1] == 3 * shape[0]:  # its layers are transposed
        return None
    has_bias = FIRST.replace("weight", "bias") in state.tensors
    if "n_layer" in state.settings or not has_bias:
        return NANOGPT
    return EITHER if _is_tied(state) else MINGPT


def _is_tied(state: StateDict) -> bool:
    head, embedding = state.tensors.get(_HEAD), state.tensors.get(_EMBEDDING)
    if head is None or embedding is None:
        return True
    return head.shape == embedding.shape and torch.equal(head.read(), embedding.read())
