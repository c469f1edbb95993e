"""Which token ends a text: as the user says, as the tokenizer's own files say, or by its name.

A document ends with the token that is asked for. Else with the `eos_token` that the files beside
tokenizer.json state; else with what is called like an end of text; else with what a model's
settings are known to stop at; else with what begins a text, which separates documents as well. What
ends the turn of a chat comes after everything else that ends something. What pads, masks or stands
for the unknown ends a text only where it is asked for, or where the files state it as `eos_token`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, TokenizerError, UsageError, shown
from groundup.base.files import file_error
from groundup.base.parse import parse_object
from groundup.base.regular import read_bytes
from groundup.tokenizer.interface import MORE_ENDS, Tokenizer

CONFIG, SPECIAL_MAP = "tokenizer_config.json", "special_tokens_map.json"
LARGEST_CONFIG = 16 << 20
"""Bytes of a tokenizer_config.json, which lists every added token."""
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
NAMED = tuple(f"{role}_token" for role in ROLES)
"""What a tokenizer's files, and chat templates, call its special tokens by."""

STARTS = ("<|bos|>", "<bos>", "<s>", "<|begin_of_text|>", "<|startoftext|>", "[BOS]", "<BOS>")
_TURN_END = re.compile(
    r"im_end|im_sep|eo[tm](?![a-z])|turn|message|assistant|user|^<\|end\|>$", re.I
)
_NO_END = re.compile(r"\W*(pad|padding|unk|unknown|mask)\W*", re.I)
"""Tokens with another task. Settings come to stop at such a one when they are another model's."""

LISTED = 8
"""Special tokens that a refusal lists."""


def named_tokens(folder: Path) -> tuple[dict[str, str | None], list[str]]:
    """Return the special tokens that the files beside a tokenizer.json name, and what is odd there.

    None is what they say there is not. As in transformers, special_tokens_map.json counts where
    tokenizer_config.json has no added_tokens_decoder. A damaged file is a `RunError`.
    """
    config = _read(folder / CONFIG)
    older = {} if "added_tokens_decoder" in config else _read(folder / SPECIAL_MAP)
    found: dict[str, str | None] = {}
    notices = []
    for file, values in ((CONFIG, config), (SPECIAL_MAP, older)):
        for name in NAMED:
            value = values.get(name, ...)
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str | None):
                found[name] = content or None
            elif content is not ...:
                odd = f"{name} = {shown(value)}: expected a token's text; taken as none"
                notices.append(f"{folder / file}: {odd}")
    return found, notices


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return parse_object(read_bytes(path, LARGEST_CONFIG), path)
    except OSError as error:
        raise file_error(path, error) from error
    except ValueError as error:
        raise RunError(f"{path}: {error}; get it anew") from None


def token_names(document: Mapping[str, Any]) -> dict[int, str]:
    """Return what each id is called in the content of a tokenizer.json."""
    vocab = document["model"]["vocab"]
    pieces = vocab.items() if isinstance(vocab, dict) else ((p[0], n) for n, p in enumerate(vocab))
    names = {number: piece for piece, number in pieces}
    return names | {token["id"]: token["content"] for token in document.get("added_tokens") or []}


def token_id(tokenizer: Tokenizer, name: str) -> int | None:
    """Return the id of the token that a tokenizer.json calls `name`, special or not."""
    if (token := tokenizer.special_tokens.get(name)) is not None:
        return token
    names = token_names(json.loads(tokenizer.to_json()))
    return next((n for n, content in names.items() if content == name), None)


def with_asked_end(tokenizer: Tokenizer, asked: str) -> Tokenizer:
    """Return `tokenizer` with the end of text that is asked for: a token's id, or its text.

    A text that is no single token is a `UsageError` with the nearest special tokens.
    """
    try:
        if asked.isascii() and asked.isdigit():
            return tokenizer.ending(int(asked[:12]))
        token = token_id(tokenizer, asked)
        ids = tokenizer.encode(asked) if token is None else [token]
    except TokenizerError as error:
        raise UsageError(f"--end-of-text {shown(asked)}: {error}") from None
    if len(ids) == 1 and (token is not None or tokenizer.decode(ids) == asked):
        return tokenizer.ending(ids[0])
    raise UsageError(
        f"--end-of-text {shown(asked)}: no token of this tokenizer, expected the text or the id of "
        f"one; {_near(asked, tokenizer.special_tokens)}"
    )


def _near(asked: str, special: Mapping[str, int]) -> str:
    close = difflib.get_close_matches(asked, special, n=3, cutoff=0.5)
    listed = ", ".join(close or list(special)[:LISTED])
    return f"did you mean {listed}?" if close else f"special tokens: {listed or 'none'}"


def with_found_end(
    tokenizer: Tokenizer, named: Mapping[str, str | None], known: Sequence[int] = ()
) -> Tokenizer:
    """Return `tokenizer` with the end of text that is found for it, by the rule above.

    `named` are the tokens that its own files name, `known` the ids that a model stops at.
    """
    special = tokenizer.special_tokens
    begin, end = (
        token_id(tokenizer, content) if (content := named.get(name)) else None
        for name in ("bos_token", "eos_token")
    )
    added = [end] if end in tokenizer.added_tokens.values() else []
    ends = [*added, tokenizer.end_of_text, *map(special.get, MORE_ENDS), end]
    inside = [n for n in known if type(n) is int and 0 <= n < tokenizer.vocab_size]
    starts = [begin, *map(special.get, STARTS)]
    names = {token: name for name, token in special.items()}
    if end is not None:
        names[end] = str(named["eos_token"])
    others = {n for name, n in special.items() if _NO_END.fullmatch(name)} - {end}
    for candidates in (ends, inside, starts):
        if tokens := [n for n in candidates if n is not None and n not in others]:
            lasting = [n for n in tokens if not _TURN_END.search(names.get(n, ""))]
            return tokenizer.ending((lasting or tokens)[0])
    return tokenizer
