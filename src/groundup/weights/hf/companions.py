"""The files beside the weights: tokenizer, generation config and chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, shown
from groundup.base.file_names import CHAT_TEMPLATE, TOKENIZER
from groundup.base.files import write_json, write_text
from groundup.base.regular import read_bytes
from groundup.runs.generation import special_names
from groundup.tokenizer import Tokenizer, load_tokenizer, tokenizer_from_document
from groundup.tokenizer.end import CONFIG as TOKENIZER_CONFIG
from groundup.tokenizer.end import LARGEST_CONFIG, token_names
from groundup.weights.hf.added import add_missing_tokens
from groundup.weights.hf.byte_level import read_folder, starting
from groundup.weights.hf.generation_config import GENERATION, start_token
from groundup.weights.hf.settings import Fields
from groundup.weights.json_object import read_object
from groundup.weights.sampling_settings import stop_ids, written_sampling

LARGEST_TEMPLATE = 1 << 20
CLASS_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")
"""Special tokens that a class of `transformers` has unless it is told that there is none."""


def read_tokenizer(folder: Path, vocab_size: int) -> tuple[Tokenizer | None, list[str]]:
    """Return the tokenizer of a model and what the user should know about it.

    Special tokens beyond the vocabulary, which text never becomes, are left out (Gemma 3 lists one
    for images); any other token beyond it is a `RunError`.
    """
    path = folder / TOKENIZER
    tokenizer = load_tokenizer(path) if path.is_file() else read_folder(folder)
    if tokenizer is None:
        return None, [f"{folder} has no {TOKENIZER}: a tokenizer must be given"]
    if tokenizer.vocab_size <= vocab_size:
        return _with_missing_tokens(tokenizer, folder, vocab_size)
    document = json.loads(tokenizer.to_json())
    added = document.get("added_tokens") or []
    beyond = [token["content"] for token in added if token["id"] >= vocab_size and token["special"]]
    document["added_tokens"] = [token for token in added if token["content"] not in beyond]
    is_left = beyond and max(token_names(document)) < vocab_size
    if not is_left or (tokenizer.end_of_text or 0) >= vocab_size:
        raise RunError(
            f"{path}: ids up to {tokenizer.vocab_size - 1:,}, but config.json has vocab_size = "
            f"{vocab_size:,}; give the model's own tokenizer"
        )
    left_out = (
        f"{path}: left out {', '.join(map(shown, beyond))}, for which the model has no vector"
    )
    return tokenizer_from_document(document), [left_out]


def _with_missing_tokens(
    tokenizer: Tokenizer, folder: Path, vocab_size: int
) -> tuple[Tokenizer, list[str]]:
    document = json.loads(tokenizer.to_json())
    if not (missing := add_missing_tokens(document, folder, vocab_size)):
        return tokenizer, []
    told = f"added the tokens that only {TOKENIZER_CONFIG} lists: {', '.join(map(shown, missing))}"
    return tokenizer_from_document(document), [f"{folder / TOKENIZER}: {shown(told, 200)}"]


def read_template(folder: Path) -> str | None:
    """Return the chat template: from a file of its own, else from the tokenizer's config."""
    path = folder / CHAT_TEMPLATE
    template: Any
    if path.is_file():
        try:
            return read_bytes(path, LARGEST_TEMPLATE).decode("utf-8")
        except ValueError as error:
            raise RunError(
                f"{path}: expected a text in UTF-8, but {error}; correct or remove it"
            ) from error
    path = folder / TOKENIZER_CONFIG
    template = read_object(path, LARGEST_CONFIG).get("chat_template") if path.is_file() else None
    if isinstance(template, list):
        named = [entry for entry in template if isinstance(entry, dict)]
        template = next((e.get("template") for e in named if e.get("name") == "default"), None)
    if not isinstance(template, str | None) or len(template or "") > LARGEST_TEMPLATE:
        raise RunError(f"{path}: chat_template: expected a text of at most {LARGEST_TEMPLATE:,}")
    return template or None


def write_companions(
    folder: Path,
    tokenizer: Tokenizer,
    generation: Fields,
    template: str | None,
    max_length: int,
    others: Fields,
) -> Fields:
    """Write the files beside the weights; return the special ids for config.json.

    `others` is what tokenizer_config.json says besides.
    """
    names = _write_tokenizer(folder / TOKENIZER, tokenizer, generation.get("start_token"))
    ends = stop_ids(tokenizer, generation)
    # Only added tokens are named: transformers would cut any other out of the words it stands in.
    added = {n: name for name, n in tokenizer.added_tokens.items()}
    named = special_names(generation, ends, added)
    settings: Fields = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
        **dict.fromkeys(CLASS_TOKENS),  # as a class that transformers prefers has tokens of its own
        **named,
        **others,
    }
    if template is not None:
        settings["chat_template"] = template
        write_text(folder / CHAT_TEMPLATE, template)
    write_json(folder / TOKENIZER_CONFIG, settings)
    numbers = {name: n for n, name in names.items()}
    begin = generation.get("bos_token", generation.get("start_token"))
    ids: Fields = {
        "bos_token_id": numbers.get(named.get("bos_token", ""), begin),
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
        # Said where there is none, too: some classes have one of their own, in no small vocabulary.
        "pad_token_id": numbers.get(named.get("pad_token", "")),
    }
    write_json(folder / GENERATION, {**ids, **written_sampling(generation)})
    return ids


def _write_tokenizer(path: Path, tokenizer: Tokenizer, start: int | None) -> dict[int, str]:
    """Write a tokenizer.json that begins a text with `start`, if any; return its ids' names."""
    text = tokenizer.to_json()
    document = json.loads(text)
    names = token_names(document)
    if start is not None and start_token(document) != start:
        document["post_processor"] = starting(document.get("post_processor"), start, names[start])
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    write_text(path, text)
    return names
