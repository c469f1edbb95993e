"""GPT-2's byte-level BPE out of two files: a vocabulary in JSON, and the merges as lines of text.

They are vocab.json and merges.txt of a Hugging Face folder without tokenizer.json, and encoder.json
and vocab.bpe of OpenAI's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from groundup.base.errors import TokenizerError, shown
from groundup.base.files import file_error
from groundup.base.parse import parse_strictly
from groundup.base.regular import read_bytes
from groundup.tokenizer import Tokenizer, tokenizer_from_document
from groundup.tokenizer.byte_level import DECODER
from groundup.tokenizer.end import CONFIG, LARGEST_CONFIG, named_tokens
from groundup.tokenizer.interface import END_OF_TEXT as END_OF_TEXT
from groundup.tokenizer.interface import added_token, bpe_model, tokenizer_document
from groundup.weights.json_object import read_object

VOCABULARY, MERGES, ADDED = "vocab.json", "merges.txt", "added_tokens.json"
LARGEST = 8 << 20
MOST_TOKENS = 2_000_000
CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
MODELS = ("gpt2", "gpt_neo")
"""Models whose tokenizers are of that class where nothing says it."""
ROLES = ("bos_token", "eos_token", "unk_token")
"""Tokens that GPT2Tokenizer takes to be <|endoftext|> where it is told nothing."""


def read_byte_level(
    vocabulary: Path,
    merges: Path,
    special: Iterable[str],
    added: dict[str, int] | None = None,
    prefix_space: bool = False,
    start: str | None = None,
) -> Tokenizer:
    """Return the tokenizer in two files; `special` are those of its tokens that are.

    `added` are tokens beyond its vocabulary, with their ids, and `start` begins each text. What is
    damaged is a `TokenizerError`.
    """
    try:
        words = parse_strictly(_content(vocabulary), MOST_TOKENS)
        pairs = _pairs(_content(merges))
    except ValueError as error:
        raise TokenizerError(f"{vocabulary}, {merges.name}: {error}; get them anew") from None
    if not isinstance(words, dict):
        raise TokenizerError(f"{vocabulary}: expected an object of tokens and ids; get it anew")
    ids = words | (added or {})
    whole = dict.fromkeys([*(name for name in special if name in ids), *(added or {})])
    listed = [added_token(ids[name], name, special=name in special) for name in whole]
    document = tokenizer_document(
        bpe_model(words, pairs),
        sorted(listed, key=lambda token: str(token["id"]).zfill(9)),
        None,
        DECODER | {"add_prefix_space": prefix_space},
        DECODER,
    )
    if start is not None and start in ids:
        document["post_processor"] = starting(None, ids[start], start)
    try:
        return tokenizer_from_document(document)
    except TokenizerError as error:
        raise TokenizerError(f"{vocabulary}, {merges.name}: {error}; get them anew") from None


def read_folder(folder: Path) -> Tokenizer | None:
    """Return the tokenizer of a Hugging Face folder without tokenizer.json, None without its files.

    Other classes than GPT-2's cut texts in other ways, which the two files do not tell.
    """
    if not all((folder / name).is_file() for name in (VOCABULARY, MERGES)):
        return None
    config = _object(folder / CONFIG)
    kind, model = config.get("tokenizer_class"), _object(folder / "config.json").get("model_type")
    if kind not in (CLASSES if kind else (None,)) or (not kind and model not in MODELS):
        raise TokenizerError(
            f"{folder}: {VOCABULARY} and {MERGES} are of {shown(kind or model)}, whose way to cut "
            f"texts they do not tell, only that of {CLASSES[0]} is known; save its tokenizer.json "
            "with a current transformers"
        )
    named = dict.fromkeys(ROLES, END_OF_TEXT) | named_tokens(folder)[0]
    return read_byte_level(
        folder / VOCABULARY,
        folder / MERGES,
        [name for name in named.values() if name],
        _object(folder / ADDED),
        config.get("add_prefix_space") is True,
        named.get("bos_token") if config.get("add_bos_token") is True else None,
    )


def starting(processor: dict[str, Any] | None, token: int, name: str) -> dict[str, Any]:
    """Return a post-processor that puts `token` before a text and does what `processor` does."""
    start: dict[str, Any] = {"SpecialToken": {"id": name, "type_id": 0}}
    first, second = ({"Sequence": {"id": which, "type_id": 0}} for which in "AB")
    template = {
        "type": "TemplateProcessing",
        "single": [start, first],
        "pair": [start, first, start, second],
        "special_tokens": {name: {"id": name, "ids": [token], "tokens": [name]}},
    }
    return (
        template if processor is None else {"type": "Sequence", "processors": [processor, template]}
    )


def _object(file: Path) -> dict[str, Any]:
    return read_object(file, LARGEST_CONFIG) if file.is_file() else {}


def _content(file: Path) -> bytes:
    try:
        return read_bytes(file, LARGEST)
    except OSError as error:
        raise file_error(file, error) from error


def _pairs(raw: bytes) -> list[list[str]]:
    """Return the merges, one a line, the first of them first; a line with the version is none."""
    lines = raw.decode("utf-8").split("\n")
    pairs = [line.rstrip("\r").split(" ") for line in lines if not line.startswith("#version")]
    pairs = [pair for pair in pairs if pair != [""]]
    for place, pair in enumerate(pairs, 1):
        if len(pair) != 2:
            raise ValueError(f"merge {place:,} is {shown(' '.join(pair))}, expected two tokens")
    return pairs
