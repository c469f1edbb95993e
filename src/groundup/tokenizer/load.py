"""Reading a tokenizer.json, which may be anybody's, as the quickest tokenizer that equals it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from groundup.base.errors import TokenizerError, quoted, shown
from groundup.base.files import file_error
from groundup.base.parse import parse_strictly
from groundup.base.regular import read_bytes
from groundup.tokenizer.bpe import BPETokenizer
from groundup.tokenizer.byte_level import CHAR_TO_BYTE, to_bytes
from groundup.tokenizer.bytewise import ByteTokenizer
from groundup.tokenizer.characters import UNKNOWN, CharTokenizer
from groundup.tokenizer.interface import Tokenizer
from groundup.tokenizer.json_file import JSONTokenizer, library_call
from groundup.tokenizer.ranks import is_plain_bpe, listed_merges, unreached

LARGEST_FILE = 64 << 20
"""Bytes; the largest published vocabularies take some 32 MiB."""

MOST_VALUES = 4_000_000
"""Of a few bytes each, they would fill memory; the largest published file has 1,800,000."""

SECTIONS = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding")

LONGEST_TOKEN = 1024
"""Characters. The library frees some tokens a call deeper for each byte, until it crashes."""

MOST_RESERVED = 1024
"""Ids that may be missing between the vocabulary and the special tokens."""


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read a tokenizer.json of any kind; a damaged one is a TokenizerError that names it."""
    path = Path(path)
    try:
        return tokenizer_from_document(_parse(path))
    except OSError as error:
        raise TokenizerError(str(file_error(path, error))) from None
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}; give a whole tokenizer.json") from None


def tokenizer_from_document(document: dict[str, Any]) -> Tokenizer:
    """Return the quickest tokenizer that equals the content of a tokenizer.json.

    What is wrong with it is a TokenizerError.
    """
    _check(document)
    return (
        _as_bytes(document)
        or _as_characters(document)
        or _as_bpe(document)
        or JSONTokenizer(document)
    )


def _parse(path: Path) -> dict[str, Any]:
    """Return the JSON object of the file, having made sure that it can be written again."""
    try:
        document = parse_strictly(read_bytes(path, LARGEST_FILE), MOST_VALUES)
    except ValueError as error:
        raise TokenizerError(f"expected JSON, but {shown(str(error), 200)}") from None
    if not isinstance(document, dict):
        raise TokenizerError("expected a JSON object")
    return document


def _check(document: dict[str, Any]) -> None:
    """Refuse a file of another shape, or whose ids are not 0, 1, 2 … each once."""
    for section in SECTIONS:
        if not isinstance(document.get(section), dict | None):
            raise TokenizerError(f"expected an object or null as {section!r}")
    model = document.get("model")
    if not isinstance(model, dict):
        raise TokenizerError("expected a 'model' with a vocabulary, but it has none")
    if not isinstance(model.get("unk_token"), str | None):
        raise TokenizerError("expected a text or null as 'unk_token' in 'model'")
    vocab = model.get("vocab")
    if not (isinstance(vocab, dict | list) and vocab):
        raise TokenizerError("expected a 'vocab' in 'model', but it is absent or empty")
    words = vocab if isinstance(vocab, dict) else _listed(vocab)
    added = _added(document.get("added_tokens") or [])
    every = words | added
    for token, number in every.items():
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
            most = f"a text of at most {LONGEST_TOKEN:,} characters"
            raise TokenizerError(f"{quoted(token)} is no token, expected {most}")
        if type(number) is not int or number < 0:
            raise TokenizerError(
                f"token {quoted(token)} has the id {quoted(number)}, expected 0 or more"
            )
        if words.get(token, number) != number:
            two = f"{quoted(words[token])} and {quoted(number)}"
            raise TokenizerError(f"token {quoted(token)} has two ids, {two}")
    _check_numbers(every, set(added.values()))


def _check_numbers(every: dict[str, int], added: set[int]) -> None:
    names: dict[int, str] = {}
    for token, number in every.items():
        if number in names:
            raise TokenizerError(
                f"{quoted(names[number])} and {quoted(token)} both have the id {quoted(number)}"
            )
        names[number] = token
    reserved = max(names) + 1 - len(names)
    if reserved:
        missing = next(number for number in range(len(names)) if number not in names)
        above = {number for number in names if number > missing}
        if reserved > MOST_RESERVED or not above <= added:
            raise TokenizerError(f"ids up to {quoted(max(names))}, but none of them is {missing}")


def _listed(vocab: list[Any]) -> dict[str, int]:
    """Return the ids of a vocabulary written as a list of pieces and scores."""
    try:
        return {piece: number for number, (piece, _) in enumerate(vocab)}
    except (TypeError, ValueError):
        raise TokenizerError("expected pairs of a piece and a score in 'vocab'") from None


def _added(tokens: Any) -> dict[str, int]:
    try:
        ids = {token["content"]: token["id"] for token in tokens}
        complete = all(isinstance(token["special"], bool) and token["content"] for token in tokens)
    except (TypeError, KeyError):
        complete = False
    if not complete or not all(isinstance(content, str) for content in ids):
        raise TokenizerError("expected 'id', 'content' and 'special' of each of 'added_tokens'")
    if len(ids) < len(tokens):
        raise TokenizerError("a content stands twice in 'added_tokens'")
    return ids


def _as_bytes(document: dict[str, Any]) -> ByteTokenizer | None:
    tokenizer = ByteTokenizer()
    return tokenizer if json.loads(tokenizer.to_json()) == document else None


def _as_characters(document: dict[str, Any]) -> CharTokenizer | None:
    vocab = document["model"]["vocab"]
    if any(len(token) != 1 for token in vocab):
        return None
    alphabet = "".join(sorted(vocab, key=vocab.__getitem__))
    special = [token["content"] for token in document.get("added_tokens") or []]
    if {*special} & vocab.keys():
        return None
    candidates = [CharTokenizer(alphabet, unknown, special) for unknown in UNKNOWN]
    return next((c for c in candidates if json.loads(c.to_json()) == document), None)


def _as_bpe(document: dict[str, Any]) -> BPETokenizer | None:
    """Return the quick equal of a plain byte-level BPE like GPT-2's; None where it is not one."""
    model, added = document["model"], document.get("added_tokens") or []
    vocab = model["vocab"]
    if not _is_plain(document) or len(added) > 1:
        return None
    special = added[0]["content"] if added and added[0]["special"] else None
    words = sorted(vocab.keys() - {special}, key=vocab.__getitem__)
    if added and (special is None or added[0]["id"] != len(words)):
        return None
    if not all(char in CHAR_TO_BYTE for word in words for char in word):
        return None
    tokens = [to_bytes(word) for word in words]
    merges = listed_merges(model.get("merges"))
    longer = [token for token in tokens if len(token) > 1]
    single = sum(len(token) == 1 for token in tokens)
    if single != 256 or len(tokens) != 256 + len(longer):
        return None
    if [left + right for left, right in merges] != longer:
        return None
    if library_call(lambda: unreached({word: n for n, word in enumerate(words)}, merges)):
        return None
    tokenizer = BPETokenizer(tokens, merges, special)
    if tokenizer.given_end is not None:  # a name that does not say it: it may as well be <pad>
        tokenizer.end_of_text = tokenizer.given_end = None
    return tokenizer


def _is_plain(document: dict[str, Any]) -> bool:
    model, splits = document["model"], document.get("pre_tokenizer") or {}
    return (
        is_plain_bpe(model)
        and not model.get("ignore_merges")
        and not any(document.get(key) for key in ("normalizer", "truncation", "padding"))
        and (document.get("post_processor") or {}).get("type", "ByteLevel") == "ByteLevel"
        and (document.get("decoder") or {}).get("type") == "ByteLevel"
        and splits.get("type") == "ByteLevel"
        and splits.get("add_prefix_space") is False
        and splits.get("use_regex", True) is True
    )
