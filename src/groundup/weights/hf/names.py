"""Hugging Face's names of our modules as they stand in files, which may differ in memory."""

from __future__ import annotations

from collections.abc import Mapping

from groundup.weights.tensor_names import (
    BEHIND_TWO,
    EXPERTS,
    EXPERTS_IN_TURNS,
    HALVES_SWAPPED,
    HEAD_BY_HEAD,
    NEIGHBOURS,
    TRANSPOSED,
    Layout,
    Names,
)

_QKV = "h.#.attn.c_attn"
_PROJECTED = {
    "blocks.#.attn.query": _QKV,
    "blocks.#.attn.key": _QKV,
    "blocks.#.attn.value": _QKV,
    "blocks.#.attn.out": "h.#.attn.c_proj",
    "blocks.#.ffn.up": "h.#.mlp.c_fc",
    "blocks.#.ffn.down": "h.#.mlp.c_proj",
}
_GPT2 = {
    "token_embedding": "wte",
    "position_embedding": "wpe",
    "blocks.#.attn_norm": "h.#.ln_1",
    **_PROJECTED,
    "blocks.#.ffn_norm": "h.#.ln_2",
    "final_norm": "ln_f",
}
_LLAMA = {
    "token_embedding": "embed_tokens",
    "blocks.#.attn.query": "layers.#.self_attn.q_proj",
    "blocks.#.attn.key": "layers.#.self_attn.k_proj",
    "blocks.#.attn.value": "layers.#.self_attn.v_proj",
    "blocks.#.attn.out": "layers.#.self_attn.o_proj",
    "blocks.#.attn.query_norm": "layers.#.self_attn.q_norm",
    "blocks.#.attn.key_norm": "layers.#.self_attn.k_norm",
    "blocks.#.ffn.gate": "layers.#.mlp.gate_proj",
    "blocks.#.ffn.up": "layers.#.mlp.up_proj",
    "blocks.#.ffn.down": "layers.#.mlp.down_proj",
    "final_norm": "norm",
}
_PRE = {
    "blocks.#.attn_norm": "layers.#.input_layernorm",
    "blocks.#.ffn_norm": "layers.#.post_attention_layernorm",
}
_POST = {
    "blocks.#.attn_post_norm": "layers.#.post_attention_layernorm",
    "blocks.#.ffn_post_norm": "layers.#.post_feedforward_layernorm",
}
_SANDWICH = {
    "blocks.#.attn_norm": "layers.#.input_layernorm",
    "blocks.#.ffn_norm": "layers.#.pre_feedforward_layernorm",
    **_POST,
}
_MIXTRAL = {
    "blocks.#.ffn.router": "layers.#.block_sparse_moe.gate",
    "blocks.#.ffn.experts.#.gate": "layers.#.block_sparse_moe.experts.#.w1",
    "blocks.#.ffn.experts.#.down": "layers.#.block_sparse_moe.experts.#.w2",
    "blocks.#.ffn.experts.#.up": "layers.#.block_sparse_moe.experts.#.w3",
}
_QWEN_EXPERTS = {
    "blocks.#.ffn.router": "layers.#.mlp.gate",
    "blocks.#.ffn.experts.#.gate": "layers.#.mlp.experts.#.gate_proj",
    "blocks.#.ffn.experts.#.up": "layers.#.mlp.experts.#.up_proj",
    "blocks.#.ffn.experts.#.down": "layers.#.mlp.experts.#.down_proj",
    "blocks.#.ffn.shared.gate": "layers.#.mlp.shared_expert.gate_proj",
    "blocks.#.ffn.shared.up": "layers.#.mlp.shared_expert.up_proj",
    "blocks.#.ffn.shared.down": "layers.#.mlp.shared_expert.down_proj",
    "blocks.#.ffn.shared_gate": "layers.#.mlp.shared_expert_gate",
}


_NEOX = {
    "token_embedding": "embed_in",
    "blocks.#.attn_norm": "layers.#.input_layernorm",
    "blocks.#.attn.query": "layers.#.attention.query_key_value",
    "blocks.#.attn.key": "layers.#.attention.query_key_value",
    "blocks.#.attn.value": "layers.#.attention.query_key_value",
    "blocks.#.attn.out": "layers.#.attention.dense",
    "blocks.#.ffn_norm": "layers.#.post_attention_layernorm",
    "blocks.#.ffn.up": "layers.#.mlp.dense_h_to_4h",
    "blocks.#.ffn.down": "layers.#.mlp.dense_4h_to_h",
    "final_norm": "final_layer_norm",
    "lm_head": "embed_out",
}
_NEO = {
    "blocks.#.attn.query": "h.#.attn.attention.q_proj",
    "blocks.#.attn.key": "h.#.attn.attention.k_proj",
    "blocks.#.attn.value": "h.#.attn.attention.v_proj",
    "blocks.#.attn.out": "h.#.attn.attention.out_proj",
}
_OPT = {
    "position_embedding": "embed_positions",
    "blocks.#.attn_norm": "layers.#.self_attn_layer_norm",
    "blocks.#.attn.out": "layers.#.self_attn.out_proj",
    "blocks.#.ffn_norm": "layers.#.final_layer_norm",
    "blocks.#.ffn.up": "layers.#.fc1",
    "blocks.#.ffn.down": "layers.#.fc2",
    "final_norm": "final_layer_norm",
}
_STARCODER = {
    "blocks.#.ffn.up": "layers.#.mlp.c_fc",
    "blocks.#.ffn.down": "layers.#.mlp.c_proj",
}
_PHI = {
    "blocks.#.attn.out": "layers.#.self_attn.dense",
    "blocks.#.ffn.up": "layers.#.mlp.fc1",
    "blocks.#.ffn.down": "layers.#.mlp.fc2",
    "final_norm": "final_layernorm",
}
_NANOCHAT = {
    "blocks.#.ffn.up": "layers.#.mlp.fc1",
    "blocks.#.ffn.down": "layers.#.mlp.fc2",
}
_ONE_QKV = {
    f"blocks.#.attn.{ours}": "layers.#.self_attn.qkv_proj" for ours in ("query", "key", "value")
}
_ONE_GATE = {f"blocks.#.ffn.{ours}": "layers.#.mlp.gate_up_proj" for ours in ("gate", "up")}
_GLM = {
    "blocks.#.attn_norm": "layers.#.input_layernorm",
    "blocks.#.attn_post_norm": "layers.#.post_self_attn_layernorm",
    "blocks.#.ffn_norm": "layers.#.post_attention_layernorm",
    "blocks.#.ffn_post_norm": "layers.#.post_mlp_layernorm",
}
_QUERY_KEY = ("layers.#.self_attn.q_proj", "layers.#.self_attn.k_proj")
_TURNED, _BACKWARDS = (dict.fromkeys(_QUERY_KEY, how) for how in (NEIGHBOURS, HALVES_SWAPPED))


_GPT_OSS = {
    "blocks.#.attn": "layers.#.self_attn",
    "blocks.#.ffn.router": "layers.#.mlp.router",
    "blocks.#.ffn.experts.#.gate": "layers.#.mlp.experts.gate_up_proj",
    "blocks.#.ffn.experts.#.up": "layers.#.mlp.experts.gate_up_proj",
    "blocks.#.ffn.experts.#.down": "layers.#.mlp.experts.down_proj",
}
_IN_ONE = {
    "layers.#.mlp.experts.gate_up_proj": EXPERTS_IN_TURNS,
    "layers.#.mlp.experts.down_proj": EXPERTS,
}
_BARE = {
    f"{name}.{kind}": ending
    for name in ("gate_up_proj", "down_proj")
    for kind, ending in (("weight", ""), ("bias", "_bias"))
}


def _names(
    prefix: str,
    *tables: dict[str, str],
    ignored: str,
    layouts: Mapping[str, Layout] | None = None,
    kinds: Mapping[str, str] | None = None,
    bare_norms: bool = False,
) -> Names:
    modules = {"lm_head": "lm_head"}
    for table in tables:
        modules |= {
            ours: theirs if ours == "lm_head" else prefix + theirs for ours, theirs in table.items()
        }
    return Names(
        modules=modules,
        prefix=prefix,
        layouts={prefix + theirs: layout for theirs, layout in (layouts or {}).items()},
        kinds=kinds or {},
        ignored=ignored,
        bare_norms=bare_norms,
    )


def _llama(*tables: dict[str, str], layouts: Mapping[str, Layout] | None = None) -> Names:
    return _names("model.", _LLAMA, *tables, ignored=r"\.rotary_emb\.inv_freq$", layouts=layouts)


_MASKS = r"(^|\.)h\.\d+\.attn\.(attention\.)?(masked_)?bias$"  # kept by old versions
GPT2 = _names(
    "transformer.",
    _GPT2,
    ignored=_MASKS,
    # Its linear layers were convolutions of width 1.
    layouts=dict.fromkeys(_PROJECTED.values(), TRANSPOSED),
)
GPT_NEO = _names("transformer.", _GPT2, _NEO, ignored=_MASKS)
GPT_NEOX = _names(
    "gpt_neox.",
    _NEOX,
    ignored=r"\.attention\.((masked_)?bias|rotary_emb\.inv_freq)$",
    layouts={"layers.#.attention.query_key_value": HEAD_BY_HEAD},
)
OPT = _names(
    "model.decoder.", _LLAMA, _OPT, ignored=r"(?!)", layouts={"embed_positions": BEHIND_TWO}
)
LLAMA = _llama(_PRE)
STARCODER2 = _llama(_PRE, _STARCODER)
PHI = _llama(_PRE, _PHI)
PHI3 = _llama(_PRE, _ONE_QKV, _ONE_GATE)
NANOCHAT = _names("model.", _LLAMA, _NANOCHAT, ignored=r"(?!)", layouts=_BACKWARDS, bare_norms=True)
COHERE2 = _llama(_PRE, layouts=_TURNED)
GLM4 = _llama(_GLM, _ONE_GATE, layouts=_TURNED)
OLMO2 = _llama(_POST)
GEMMA = _llama(_SANDWICH)
MIXTRAL = _llama(_PRE, _MIXTRAL)
GPT_OSS = _names("model.", _LLAMA, _PRE, _GPT_OSS, ignored=r"(?!)", layouts=_IN_ONE, kinds=_BARE)
QWEN_MOE = _llama(_PRE, _QWEN_EXPERTS)
