"""Hugging Face's names of our modules as they stand in files, which may differ in memory."""

from __future__ import annotations

from groundup.weights.tensor_names import Names

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
}


def _names(prefix: str, *tables: dict[str, str], ignored: str, transposed: set[str]) -> Names:
    modules = {ours: prefix + theirs for table in tables for ours, theirs in table.items()}
    return Names(
        modules={**modules, "lm_head": "lm_head"},
        prefix=prefix,
        transposed=frozenset(prefix + theirs for theirs in transposed),
        ignored=ignored,
    )


def _llama(*tables: dict[str, str]) -> Names:
    return _names("model.", _LLAMA, *tables, ignored=r"\.rotary_emb\.inv_freq$", transposed=set())


GPT2 = _names(
    "transformer.",
    _GPT2,
    ignored=r"(^|\.)h\.\d+\.attn\.(masked_)?bias$",  # causal masks, kept by old versions
    transposed=set(_PROJECTED.values()),  # its linear layers were convolutions of width 1
)
LLAMA = _llama(_PRE)
OLMO2 = _llama(_POST)
GEMMA = _llama(_SANDWICH)
MIXTRAL = _llama(_PRE, _MIXTRAL)
QWEN_MOE = _llama(_PRE, _QWEN_EXPERTS)
