"""SentencePiece's BPE between scores, which GGUF keeps, and merges, which a tokenizer.json keeps.

SentencePiece joins the two neighbours whose union has the highest score (Kudo and Richardson,
2018); byte-pair encoding joins those whose merge comes first. Listing every pair that makes a
token, the best token first, gives the same order. Spaces are written as U+2581 throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from groundup.tokenizer.interface import bpe_model, tokenizer_document

SPACE = "\u2581"

_TO_MARK = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_FROM_MARK = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
_PREPEND = {"type": "Prepend", "prepend": SPACE}
_NORMALIZERS: dict[bool, dict[str, Any]] = {
    True: {"type": "Sequence", "normalizers": [_PREPEND, _TO_MARK]},
    False: _TO_MARK,
}
_METASPACE = ("always", "first")


def merges_of(vocab: Mapping[str, int], scores: Mapping[str, float]) -> list[list[str]]:
    """Return the pairs of tokens that make the tokens of `scores`, the best token first."""
    found = []
    for word in sorted(scores, key=lambda word: (-scores[word], vocab[word])):
        pairs = [[word[:n], word[n:]] for n in range(1, len(word))]
        pairs = [pair for pair in pairs if pair[0] in vocab and pair[1] in vocab]
        found += sorted(pairs, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
    return found


def scores_of(merges: Iterable[Sequence[str]]) -> dict[str, float]:
    """Return a score for each token that merges make, falling with the place of its first merge."""
    scores: dict[str, float] = {}
    for rank, (left, right) in enumerate(merges):
        scores.setdefault(left + right, -float(rank))
    return scores


def document(
    vocab: dict[str, int],
    scores: Mapping[str, float],
    added: list[dict[str, Any]],
    unknown: str | None,
    has_prefix: bool,
) -> dict[str, Any]:
    """Return the tokenizer.json of a SentencePiece vocabulary.

    `has_prefix` says whether a text is read as if it began with a space.
    """
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if has_prefix else []
    steps = [_FROM_MARK, {"type": "ByteFallback"}, {"type": "Fuse"}, *strip]
    model = bpe_model(vocab, merges_of(vocab, scores))
    return tokenizer_document(
        model | {"unk_token": unknown, "fuse_unk": True, "byte_fallback": True},
        added,
        _NORMALIZERS[has_prefix],
        None,
        {"type": "Sequence", "decoders": steps},
    )


def prefix_of(document: dict[str, Any]) -> bool | None:
    """Return whether a tokenizer.json reads a text as if it began with a space.

    None: it is not SentencePiece's way of reading texts.
    """
    normalizer, cut = document.get("normalizer"), document.get("pre_tokenizer") or {}
    model = document["model"]
    if not model.get("byte_fallback") or model.get("ignore_merges"):
        return None
    if normalizer is None and cut.get("type") == "Metaspace":
        is_known = cut.get("replacement") == SPACE and cut.get("split") is False
        scheme = cut.get("prepend_scheme")
        return scheme in _METASPACE if is_known and scheme in (*_METASPACE, "never") else None
    is_idle = not cut or (cut.get("type"), cut.get("pattern")) == ("Split", {"String": " "})
    found = [has_prefix for has_prefix, before in _NORMALIZERS.items() if normalizer == before]
    return found[0] if found and is_idle else None
