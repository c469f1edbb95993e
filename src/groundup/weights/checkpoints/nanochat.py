"""nanochat (github.com/karpathy/nanochat): model_NNN.pt, and meta_NNN.json beside it.

Its norms have no weights. It turns queries and keys the other way round, which is the same once the
halves of a head change places. It norms them after that; before it is the same, as turning keeps
lengths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from groundup.base.errors import RunError, shown
from groundup.weights.checkpoints.kind import Kind
from groundup.weights.checkpoints.state_dict import StateDict
from groundup.weights.tensor_names import HALVES_SWAPPED, Names

EPS = torch.finfo(torch.float32).eps
"""What `F.rms_norm` adds where it is told nothing."""
_LATER = "a later nanochat's, for which there is no place here; only the first architecture is read"
_MODULES = {
    "token_embedding": "transformer.wte",
    "blocks.#.attn.query": "transformer.h.#.attn.c_q",
    "blocks.#.attn.key": "transformer.h.#.attn.c_k",
    "blocks.#.attn.value": "transformer.h.#.attn.c_v",
    "blocks.#.attn.out": "transformer.h.#.attn.c_proj",
    "blocks.#.ffn.up": "transformer.h.#.mlp.c_fc",
    "blocks.#.ffn.down": "transformer.h.#.mlp.c_proj",
    "lm_head": "lm_head",
}
NAMES = Names(
    modules=_MODULES,
    layouts=dict.fromkeys(("transformer.h.#.attn.c_q", "transformer.h.#.attn.c_k"), HALVES_SWAPPED),
    bare_norms=True,
)


def _model_config(state: StateDict) -> Mapping[str, Any]:
    """Return the shape of the model in meta_NNN.json, or in a config.json."""
    number = re.fullmatch(r"model_(\d+)", state.file.stem)
    meta = state.beside(f"meta_{number[1]}.json") if number else {}
    told = meta.get("model_config") or state.beside("config.json")
    told = dict(told) if isinstance(told, Mapping) else {}
    windows = told.pop("window_pattern", "L")
    if not isinstance(windows, str) or set(windows) - {"L"}:
        raise RunError(f"{state.file}: window_pattern = {shown(windows)}: {_LATER}")
    return told


NANOCHAT = Kind(
    name="nanochat",
    title="nanochat",
    names=NAMES,
    fixed={
        "norm": "rmsnorm",
        "norm_eps": EPS,
        "norm_order": "pre",
        "qk_norm": "head",
        "position": "rope",
        "rope_base": 10000.0,
        "feed_forward": "relu_squared",
        "logit_softcap": 15.0,
        "tie_embeddings": False,
    },
    asked={"n_heads": "6", "context_length": "2048"},
    refused={
        r"(^|\.)(value_embeds|ve_gate)\.": f"value embeddings, {_LATER}",
        r"(^|\.)(resid|x0|smear|backout)\w*$": f"scalars of layers, {_LATER}",
    },
    told=_model_config,
)
