"""The GPT of the book "Build a Large Language Model (From Scratch)" (Raschka, 2024)."""

from __future__ import annotations

from groundup.weights.checkpoints.kind import Kind
from groundup.weights.tensor_names import Names

_MODULES = {
    "token_embedding": "tok_emb",
    "position_embedding": "pos_emb",
    "blocks.#.attn_norm": "trf_blocks.#.norm1",
    "blocks.#.attn.query": "trf_blocks.#.att.W_query",
    "blocks.#.attn.key": "trf_blocks.#.att.W_key",
    "blocks.#.attn.value": "trf_blocks.#.att.W_value",
    "blocks.#.attn.out": "trf_blocks.#.att.out_proj",
    "blocks.#.ffn_norm": "trf_blocks.#.norm2",
    "blocks.#.ffn.up": "trf_blocks.#.ff.layers.0",
    "blocks.#.ffn.down": "trf_blocks.#.ff.layers.2",
    "final_norm": "final_norm",
    "lm_head": "out_head",
}
_FAST = {
    **{f"blocks.#.attn.{ours}": "trf_blocks.#.att.qkv" for ours in ("query", "key", "value")},
    "blocks.#.attn.out": "trf_blocks.#.att.proj",
}
_NORMS = {
    f"{norm}.{ours}": theirs
    for norm in ("norm1", "norm2", "final_norm")
    for ours, theirs in (("weight", ".scale"), ("bias", ".shift"))
}
_FIXED = {
    "norm": "layernorm",
    "norm_eps": 1e-5,
    "norm_order": "pre",
    "position": "learned",
    "feed_forward": "gelu_tanh",
    "tie_embeddings": False,
}
_REFUSED = {
    r"^out_head\.bias$": "the head of a classifier (chapter 6), which has a bias and decides by "
    "the padding behind a text, for which a run has no place; import the model that it was made "
    "of, and teach that with 'groundup finetune classify'",
    r"(^|\.)lora\.[AB]$": "adapters beside its layers (appendix E); add them to the weights in "
    "Python, and save the model",
    r"\.ff\.fc\d\.": "one of the bonus chapters' Llama, Qwen or Gemma; give the Hugging Face "
    "folder that its weights came from",
}

BOOK = Kind(
    name="book",
    title="the book's GPTModel",
    names=Names(modules=_MODULES, kinds=_NORMS, ignored=r"\.att\.mask$"),
    fixed=_FIXED,
    refused=_REFUSED,
    tokenizer="gpt2",
)
BOOK_FAST = Kind(
    name="book",
    title="the book's GPTModelFast",
    names=Names(modules=_MODULES | _FAST),
    fixed=_FIXED,
    refused=_REFUSED,
    tokenizer="gpt2",
)
"""The same, with query, key and value in one matrix and PyTorch's own norms."""
