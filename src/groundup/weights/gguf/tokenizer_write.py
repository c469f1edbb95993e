"""One of our tokenizers as the metadata of a GGUF file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from groundup.base.errors import TokenizerError
from groundup.tokenizer import Tokenizer
from groundup.weights.gguf import sentencepiece
from groundup.weights.gguf.pre_tokenizers import PRE_TOKENIZERS, pre_tokenizer_name
from groundup.weights.gguf.special import GGML, special_metadata
from groundup.weights.gguf.tokenizer import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
)

SPACES = "llama.cpp puts a space before a text, and after special tokens, even where one stands"
INSTEAD = "export it with --format hf, whose tokenizer.json can say it"


def tokenizer_metadata(
    tokenizer: Tokenizer, vocab_size: int, generation: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the metadata that make llama.cpp cut texts as `tokenizer` does, and remarks.

    A tokenizer that it does not know, or cannot follow exactly, is a TokenizerError.
    """
    document = json.loads(tokenizer.to_json())
    model = document["model"]
    if (kind := model.get("type", "BPE")) != "BPE" or not isinstance(model.get("vocab"), dict):
        raise TokenizerError(
            f"a tokenizer of kind {tokenizer.kind} ({kind}) cannot be written as GGUF; {INSTEAD}"
        )
    added = document.get("added_tokens") or []
    _check_added(added, tokenizer.special_tokens)
    tokens, types = _tokens(tokenizer, model, added, vocab_size)
    has_prefix = sentencepiece.prefix_of(document)
    if has_prefix is None:
        found, notices = _byte_level(document)
    else:
        found = _sentencepiece(model, tokens, types) | {"add_space_prefix": has_prefix}
        notices = [SPACES] if has_prefix and document.get("pre_tokenizer") else []
    found |= {"tokens": tokens, "token_type": types}
    special, more = special_metadata(tokenizer, generation, tokens)
    return {GGML + key: value for key, value in found.items()} | special, notices + more


def _check_added(added: list[dict[str, Any]], special: Mapping[str, int]) -> None:
    for token in added:
        takes_more = [key for key in ("lstrip", "rstrip", "single_word") if token.get(key)]
        if takes_more and token["content"] not in special:
            raise TokenizerError(
                f"token {token['content']!r} has {takes_more[0]}, which GGUF cannot say; {INSTEAD}"
            )


def _tokens(
    tokenizer: Tokenizer, model: dict[str, Any], added: list[dict[str, Any]], vocab_size: int
) -> tuple[list[str], list[int]]:
    """Return text and type of every id of the model's table, the unused ones filled."""
    if tokenizer.vocab_size > vocab_size:
        raise TokenizerError(
            f"the tokenizer has {tokenizer.vocab_size:,} ids, the model room for {vocab_size:,}; "
            "give the model's own tokenizer"
        )
    tokens = [f"[PAD{n}]" for n in range(vocab_size)]
    types = [UNUSED] * vocab_size
    for token, n in model["vocab"].items():
        is_byte = model.get("byte_fallback") and len(token) == 6 and token.startswith("<0x")
        tokens[n], types[n] = token, BYTE if is_byte else NORMAL
    for entry in added:
        kind = CONTROL if entry["content"] in tokenizer.special_tokens else USER_DEFINED
        kind = UNKNOWN if entry["content"] == model.get("unk_token") else kind
        tokens[entry["id"]], types[entry["id"]] = entry["content"], kind
    if len(set(tokens)) < len(tokens):
        raise TokenizerError(f"two ids have the same text, which llama.cpp refuses; {INSTEAD}")
    return tokens, types


def _byte_level(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    name = pre_tokenizer_name(document)
    if name is None or (document.get("decoder") or {}).get("type") != "ByteLevel":
        raise TokenizerError(
            "the tokenizer cuts texts into words in a way that llama.cpp does not know (it knows "
            f"those called {', '.join(PRE_TOKENIZERS)}); {INSTEAD}"
        )
    pairs = document["model"]["merges"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in pairs]
    notices = []
    if PRE_TOKENIZERS[name].normalizer:
        notices = ["llama.cpp does not bring a text into normal form (NFC) before it cuts it"]
    return {"model": "gpt2", "pre": name, "merges": merges}, notices


def _sentencepiece(model: dict[str, Any], tokens: list[str], types: list[int]) -> dict[str, Any]:
    """Return a score for each token, having made sure that they give the same merges."""
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    ranked = sentencepiece.scores_of(pairs)
    lowest = -float(len(pairs) + 1)
    scores = {
        token: ranked.get(token, lowest)
        for token, kind in zip(tokens, types, strict=True)
        if kind == NORMAL and len(token) > 1
    }
    listed = [tuple(pair) for pair in pairs if "".join(pair) in scores]
    rebuilt = [tuple(pair) for pair in sentencepiece.merges_of(model["vocab"], scores)]
    in_order = ["".join(pair) for pair in rebuilt] == ["".join(pair) for pair in listed]
    if not in_order or sorted(rebuilt) != sorted(listed):
        raise TokenizerError(f"its merges are not those of a SentencePiece vocabulary; {INSTEAD}")
    return {
        "model": "llama",
        "pre": "default",
        "scores": [scores.get(token, 0.0) for token in tokens],
    }
