"""Small models with tokenizers of every kind that llama.cpp knows."""

from __future__ import annotations

import functools
import json
from typing import Any

import torch

from groundup import GPT
from groundup.runs.tensor_file import Stored
from groundup.tokenizer import Tokenizer, tokenizer_from_document, train_bpe
from groundup.tokenizer import byte_level as byte_level_bytes
from groundup.weights.gguf import sentencepiece
from groundup.weights.gguf.pre_tokenizers import PRE_TOKENIZERS
from groundup.weights.pretrained import Exported
from tests.model import helpers
from tests.model.helpers import random_gpt
from tests.texts import sentences

TEXT = (
    sentences(300) + "In 1984 and 2001, 12345 people; don't, DON'T! naïve café — 東京 🙂\n\n  x\t1"
)

TEXTS = [
    "The queen remembers the river.",
    "",
    " ",
    "   three   spaces   and  tabs\t\t\tand\n\n\nlines\r\n  end  ",
    "1234567890 3.14159 1,000,000 ²³ ٣٤٥",
    "don't DON'T we'll WE'LL I'm 'tis ''' \"quoted\"",
    "naïve café Ångström ﬁ Ω straße ÄÖÜ",
    "東京タワー 한국어 العربية हिन्दी ไทย עברית",
    "🙂🙃👩‍👩‍👧‍👦🏳️‍🌈 e\u0301 zalgo\u0336\u0334",
    "def f(x):\n    return x ** 2  # !!! ??? ...\n\n\n",
    "a" * 300 + " " * 40 + "!" * 50,
    "<|endoftext|> <s> </s> <unk> <0x41> [PAD3] <|im_end|>",
    "\u2581already\u2581marked\u2581",
    "CamelCaseWord snake_case_word kebab-case x1y2z3",
    "\u00a0\u2003\u200b\ufeff wide",
]


@functools.cache
def byte_level(split: str, specials: tuple[str, ...] = ("<|endoftext|>",)) -> Tokenizer:
    """A byte-level BPE whose merges never cross the words of this split."""
    from tokenizers import Tokenizer as Library
    from tokenizers import pre_tokenizers, trainers

    parts = PRE_TOKENIZERS[split]
    if split == "gpt-2" and specials == ("<|endoftext|>",):
        return train_bpe([TEXT], 420)
    empty: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": None,
        "decoder": byte_level_bytes.DECODER,
        "model": {"type": "BPE", "vocab": {}, "merges": [], "ignore_merges": parts.ignore_merges},
    }
    library = Library.from_str(json.dumps(empty))
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        show_progress=False,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    library.train_from_iterator([TEXT], trainer)
    return tokenizer_from_document(json.loads(library.to_str()))


@functools.cache
def scored(has_prefix: bool = True) -> Tokenizer:
    """A SentencePiece vocabulary: three special tokens, the bytes, characters and joined ones."""
    from tokenizers import Tokenizer as Library
    from tokenizers import models, trainers

    library = Library(models.BPE())
    marked = [sentencepiece.SPACE + line.replace(" ", sentencepiece.SPACE) for line in WORDS]
    library.train_from_iterator(marked, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    trained = library.get_vocab()
    words = sorted(trained, key=trained.__getitem__)
    listed = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    vocab = {token: n for n, token in enumerate(listed)}
    scores = {word: -float(n) for n, word in enumerate(words) if len(word) > 1}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": n, "content": listed[n], **flags, "special": True} for n in range(3)]
    return tokenizer_from_document(
        sentencepiece.document(vocab, scores, added, "<unk>", has_prefix)
    )


WORDS = TEXT.split("\n")


_KEPT = (
    "gpt2", "gpt2 without bias", "llama", "linear rope", "mistral", "mixtral", "qwen2", "qwen3",
    "olmo2", "gemma2", "gemma3",
)  # fmt: skip
_WITHOUT = {name: {"window": None} for name in ("mistral", "qwen2")}
_GPT = helpers.FAMILIES["gpt2"] | {"tie_embeddings": False}
_NEOX = _GPT | {"position": "rope", "rope_fraction": 0.5}
_LLAMA = helpers.FAMILIES["mistral"] | {"window": None}
_GEMMA = helpers.FAMILIES["gemma3"] | {"head_dim": 8}
_YARN = {"rope_scaling": "yarn", "rope_factor": 4.0, "rope_original_context": 64,
         "rope_high_freq_factor": 32.0}  # fmt: skip
_OLMO2 = helpers.FAMILIES["olmo2"]
FAMILIES: dict[str, dict[str, Any]] = {
    **{name: helpers.FAMILIES[name] | _WITHOUT.get(name, {}) for name in _KEPT},
    "gemma": _GEMMA | {"norm_order": "pre", "qk_norm": "none", "window": None,
                       "rope_local_base": 0.0},
    "olmo3": _OLMO2 | _YARN | {"n_layers": 5, "window": 5, "window_pattern": "LLG",
                               "rope_local_base": 10000.0, "rope_attention_factor": 1.3},
    "yarn": _LLAMA | _YARN | {"rope_attention_factor": 1.5},
    "gptneox": _NEOX | {"norm_order": "parallel", "n_kv_heads": 2},
    "gptneox in turn": _NEOX | _YARN | {"bias": False, "qkv_bias": False, "feed_forward": "gelu"},
    "phi2": _NEOX | {"norm_order": "parallel_shared", "head_bias": True},
    "phi3": _LLAMA | _YARN | {"rope_fraction": 0.75, "tie_embeddings": True},
    "phi3 longrope": _LLAMA | {"rope_fraction": 0.75, "rope_scaling": "longrope",
                               "rope_factors": (1.02, 1.5, 7.9), "rope_attention_factor": 1.2},
    "smollm3": _LLAMA | _YARN | {"n_layers": 5, "rope_pattern": "RRRN", "head_dim": 12},
    "arcee": _LLAMA | {"feed_forward": "relu_squared", "rope_scaling": "llama3",
                       "rope_factor": 4.0, "rope_original_context": 16},
    "glm4": _LLAMA | {"norm_order": "sandwich", "rope_fraction": 0.5, "head_dim": 12,
                      "qkv_bias": True},
    "cohere2": _LLAMA | {"norm": "layernorm", "norm_order": "parallel_shared", "n_layers": 5,
                         "tie_embeddings": True, "rope_pattern": "RRN", "window": 5,
                         "window_pattern": "LLG", "rope_fraction": 0.5, "rope_scaling": "linear",
                         "rope_factor": 2.0},
    "starcoder2": _GPT | {"position": "rope", "n_kv_heads": 2, "tie_embeddings": True},
    "qwen2moe": _LLAMA | {"n_experts": 4, "n_active_experts": 2, "shared_ffn_dim": 24,
                          "norm_expert_scores": False, "qkv_bias": True},
    "gpt-oss": _LLAMA | _YARN | {"n_experts": 4, "n_active_experts": 2, "bias": True,
                                 "qkv_bias": True, "router_bias": True, "attention_sinks": True,
                                 "feed_forward": "clamped_swiglu", "window": 5,
                                 "window_pattern": "LG"},
    "seed_oss": _LLAMA | {"qkv_bias": True, "head_dim": 12},
    "granite": _LLAMA | {"bias": True, "qkv_bias": True, "tie_embeddings": True},
}  # fmt: skip
"""A small model of all that llama.cpp computes, with the features that it has."""


def model_of(family: str, vocab_size: int, **changes: Any) -> GPT:
    """A random model of a family."""
    config = {**FAMILIES[family], "vocab_size": vocab_size, **changes}
    if config.get("query_pre_attn_scalar"):
        config["query_pre_attn_scalar"] = float(config["head_dim"])
    return random_gpt(**config)


def exported(model: GPT, tokenizer: Tokenizer, **others: Any) -> Exported:
    tensors = {
        name: Stored(tuple(p.shape), p.dtype, functools.partial(torch.clone, p.detach()))
        for name, p in model.named_parameters()
    }
    plain: dict[str, Any] = {"chat_template": None, "generation": {}, "name": "small"}
    return Exported(config=model.config, tensors=tensors, tokenizer=tokenizer, **(plain | others))
