"""What begins, ends and samples the texts of a Hugging Face folder, from its four files about it.

generation_config.json counts before config.json, and tokenizer_config.json (or, beside an older
one, special_tokens_map.json) says what chat templates call by name. What makes no sense is passed
over, with a notice: none of it is worth a model that cannot be imported.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, shown
from groundup.base.file_names import TOKENIZER
from groundup.base.parse import parse_json
from groundup.base.regular import read_bytes
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.end import CONFIG as TOKENIZER_CONFIG
from groundup.tokenizer.end import LARGEST_CONFIG, SPECIAL_MAP, named_tokens, token_names
from groundup.weights.hf.settings import Fields
from groundup.weights.json_object import read_object
from groundup.weights.sampling_settings import read_ids, read_sampling

GENERATION = "generation_config.json"
GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes of tokenizers that have no special tokens but those that the files name."""


def read_generation(
    folder: Path, config: Fields, tokenizer: Tokenizer | None, vocab_size: int
) -> tuple[Fields, list[str]]:
    """Return the settings of generation.toml for a model, and what the user should know of them."""
    path = folder / GENERATION
    settings, notices = _settings(path)
    found, odd = read_sampling(settings, path)
    ends, more = _ends(folder, settings, config, vocab_size)
    notices += odd + more
    names = token_names(document := json.loads(tokenizer.to_json())) if tokenizer else {}
    start = start_token(document) if tokenizer else None
    begin, odd = _begin(folder, settings, config, vocab_size)
    named, unknown = _named(folder, names, begin, ends)
    notices += odd + unknown
    end = next((n for n, name in names.items() if name == (named or {}).get("eos_token")), None)
    if ends or end is not None:
        found["stop_tokens"] = ends or [end]
    if start is not None:
        _check_start(start, vocab_size, folder / TOKENIZER)
        found["start_token"] = start
    if named is not None:
        found["special_tokens"] = named
    elif start is None and begin is not None:
        found["bos_token"] = begin
    return found, notices


def start_token(document: Fields) -> int | None:
    """Return the id that the content of a tokenizer.json puts before a text, if it does."""
    processor = document.get("post_processor") or {}
    for part in processor.get("processors", [processor]):
        match part:
            case {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": name}}, *_]}:
                ids: list[int] = part["special_tokens"].get(name, {}).get("ids", [])
                return ids[0] if ids else None
            case {"type": "BertProcessing" | "RobertaProcessing", "cls": [_, int(start)]}:
                return start
    return None


def _check_start(token: Any, vocab_size: int, path: Path) -> None:
    if type(token) is not int or not 0 <= token < vocab_size:
        raise RunError(
            f"{path}: post_processor: the first token = {shown(token)}: expected an id from 0 to "
            f"{vocab_size - 1:,}"
        )


def _settings(path: Path) -> tuple[Fields, list[str]]:
    """Return the content of generation_config.json; a damaged one is empty, with a notice."""
    if not path.is_file():
        return {}, []
    try:
        settings = parse_json(read_bytes(path, LARGEST_CONFIG))
        if isinstance(settings, dict):
            return settings, []
        reason = f"{type(settings).__name__} instead of an object"
    except (OSError, ValueError) as error:
        reason = shown(str(error), 200)
    return {}, [f"{path}: passed over, as it cannot be read: {reason}"]


def _ends(
    folder: Path, settings: Fields, config: Fields, vocab_size: int
) -> tuple[list[int], list[str]]:
    """Return the ids that end a text: generation_config.json's, else config.json's."""
    key, path = "eos_token_id", folder / GENERATION
    first, odd = read_ids(settings.get(key), vocab_size, f"{path}: {key}")
    second, odd_too = read_ids(config.get(key), vocab_size, f"{folder / 'config.json'}: {key}")
    if key not in settings or (odd and not first):
        return second, odd + odd_too
    others = shown(config.get(key))
    apart = f"{path}: {key} = {shown(settings[key])} counts, where config.json says {others}"
    return first, odd + [apart] * (bool(first) and not {*second} <= {*first})


def _begin(
    folder: Path, settings: Fields, config: Fields, vocab_size: int
) -> tuple[int | None, list[str]]:
    """Return the id that the settings say begins a text, found likewise."""
    key = "bos_token_id"
    values, file = (settings, GENERATION) if key in settings else (config, "config.json")
    ids, odd = read_ids(values.get(key), vocab_size, f"{folder / file}: {key}")
    return ids[0] if ids else None, odd


def _named(
    folder: Path, names: dict[int, str], begin: int | None, ends: list[int]
) -> tuple[dict[str, str] | None, list[str]]:
    """Return the special tokens by name, None where no file names any.

    A tokenizer of a class of its own may leave bos and eos to that class: they are then those that
    the model's settings tell.
    """
    files = [folder / TOKENIZER_CONFIG, folder / SPECIAL_MAP]
    if not names or not any(file.is_file() for file in files):
        return None, []
    stated, notices = named_tokens(folder)
    config = read_object(files[0], LARGEST_CONFIG) if files[0].is_file() else {}
    kind = config.get("tokenizer_class")
    if kind is None and not stated:
        return None, notices
    if kind not in (None, *GENERIC):
        ids = {"bos_token": begin, "eos_token": ends[0] if ends else None}
        stated = {name: names.get(n) for name, n in ids.items() if n is not None} | stated
    found = {name: content for name, content in stated.items() if content}
    known = set(names.values())
    notices += [
        f"{folder}: {name} = {shown(content)} is no token of {TOKENIZER}"
        for name, content in found.items()
        if content not in known
    ]
    return found, notices
