"""What generation.toml says of tokens: those that begin and end a run's texts, and their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groundup.base.errors import ConfigError, RunError, quoted

TOKENS = ("end_of_text", "start_token", "bos_token", "eos_token")
"""Ids: what ends and what begins every text, and what a chat template calls by these two words."""


def with_end_of_text(generation: dict[str, Any], end_of_text: int | None) -> dict[str, Any]:
    """Return the settings with the end of text that tokenizer.json does not tell."""
    others = {key: value for key, value in generation.items() if key != "end_of_text"}
    return others if end_of_text is None else {"end_of_text": end_of_text, **others}


def check_tokens(generation: dict[str, Any], vocab_size: int) -> None:
    """Refuse ids beyond the vocabulary and names that are no texts, by a one-line `ConfigError`."""
    named = generation.get("special_tokens", {})
    if not isinstance(named, dict) or not all(isinstance(text, str) for text in named.values()):
        raise ConfigError(f"special_tokens = {quoted(named)}: expected a table of texts")
    stop = generation.get("stop_tokens", [])
    if not isinstance(stop, list):
        raise ConfigError(f"stop_tokens = {quoted(stop)}: expected a list of token ids")
    tokens = [("stop_tokens", token) for token in stop]
    tokens += [(key, generation[key]) for key in TOKENS if key in generation]
    for key, token in tokens:
        if type(token) is not int or not 0 <= token < vocab_size:
            expected = f"a token id from 0 to {vocab_size - 1}"
            raise ConfigError(f"{key} = {quoted(token)}: expected {expected}")


def checked(generation: dict[str, Any], vocab_size: int, source: object) -> dict[str, Any]:
    """Return the settings in `source`; tokens in them that make no sense are a `RunError`."""
    try:
        check_tokens(generation, vocab_size)
    except ConfigError as error:
        raise RunError(f"{source}: {error}; correct or remove it") from None
    return generation


def special_names(
    generation: Mapping[str, Any], ends: Sequence[int], names: Mapping[int, str]
) -> dict[str, str]:
    """Return a run's special tokens by name, where ids are called `names`.

    Without a table of them, bos and eos are what begins its texts and the first that ends them.
    """
    if (table := generation.get("special_tokens")) is not None:
        return dict(table)
    begin = generation.get("bos_token", generation.get("start_token"))
    end = generation.get("eos_token", ends[0] if ends else None)
    ids = {"bos_token": begin, "eos_token": end}
    return {name: names[n] for name, n in ids.items() if n in names}
