"""Special tokens that tokenizer_config.json knows and tokenizer.json does not list.

`transformers` finds them whole in a text all the same: a chat template's `<|im_end|>` is one token.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundup.tokenizer.end import CONFIG, LARGEST_CONFIG, named_tokens, token_names
from groundup.weights.hf.settings import Fields
from groundup.weights.json_object import read_object

FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


def add_missing_tokens(document: Fields, folder: Path, vocab_size: int) -> list[str]:
    """Add to the content of a tokenizer.json what is missing there; return the names of it.

    A token must be in the vocabulary, or have the next free id within the model's `vocab_size`.
    """
    path = folder / CONFIG
    config = read_object(path, LARGEST_CONFIG) if path.is_file() else {}
    numbers = {name: n for n, name in token_names(document).items()}
    listed = {token["content"]: token for token in document.get("added_tokens") or []}
    missing = []
    for number, token in _stated(config, folder):
        name = token.get("content")
        if not isinstance(name, str) or not name or name in listed:
            continue
        if name not in numbers:
            if number != str(len(numbers)) or len(numbers) >= vocab_size:
                continue
            numbers[name] = len(numbers)
        flags = {flag: token.get(flag) is True for flag in FLAGS}
        special = token.get("special") is not False
        listed[name] = {"id": numbers[name], "content": name, **flags, "special": special}
        missing.append(name)
    if missing:
        document["added_tokens"] = sorted(listed.values(), key=lambda token: int(token["id"]))
    return missing


def _stated(config: Fields, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the id, where one is given, and the description of each token of the config."""
    decoder = config.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        yield from ((n, token) for n, token in decoder.items() if isinstance(token, dict))
    more = [config.get(key) for key in ("additional_special_tokens", "extra_special_tokens")]
    names = [
        *named_tokens(folder)[0].values(),
        *(t for m in more if isinstance(m, list) for t in m),
    ]
    yield from (("", name if isinstance(name, dict) else {"content": name}) for name in names)
