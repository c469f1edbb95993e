"""What goes with the weights: the tokenizer, how to sample, and how a conversation is laid out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, shown
from groundup.base.files import write_json, write_text
from groundup.tokenizer import Tokenizer, load_tokenizer, tokenizer_from_document
from groundup.weights.hf.settings import Fields
from groundup.weights.json_file import read_object

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
GENERATION, TEMPLATE = "generation_config.json", "chat_template.jinja"
LARGEST_CONFIG, LARGEST_TEMPLATE = 16 << 20, 1 << 20
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
OFF = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}


def read_tokenizer(folder: Path, vocab_size: int) -> tuple[Tokenizer | None, list[str]]:
    """Return the tokenizer of a model and what the user should know about it.

    Special tokens beyond the vocabulary, which text never becomes, are left out (Gemma 3 lists one
    for images); any other token beyond it is a `RunError`.
    """
    path = folder / TOKENIZER
    if not path.is_file():
        return None, [f"{folder} has no {TOKENIZER}: a tokenizer must be given"]
    tokenizer = load_tokenizer(path)
    if tokenizer.vocab_size <= vocab_size:
        return tokenizer, []
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


def token_names(document: Fields) -> dict[int, str]:
    """Return what each id is called in the content of a tokenizer.json."""
    vocab = document["model"]["vocab"]
    pieces = vocab.items() if isinstance(vocab, dict) else ((p[0], n) for n, p in enumerate(vocab))
    names = {number: piece for piece, number in pieces}
    return names | {token["id"]: token["content"] for token in document.get("added_tokens") or []}


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


def read_generation(
    folder: Path, config: Fields, tokenizer: Tokenizer | None, vocab_size: int
) -> Fields:
    """Return how the model is best sampled and what begins and ends its texts."""
    path = folder / GENERATION
    settings = read_object(path, LARGEST_CONFIG) if path.is_file() else {}
    found = _read_sampling(settings, path)
    end = settings.get("eos_token_id", config.get("eos_token_id"))
    ends = end if isinstance(end, list) else [] if end is None else [end]
    start = start_token(json.loads(tokenizer.to_json())) if tokenizer else None
    source = path if "eos_token_id" in settings else folder / "config.json"
    for token in ends:
        _check_id(token, vocab_size, f"{source}: eos_token_id")
    if ends:
        found["stop_tokens"] = ends
    if start is not None:
        _check_id(start, vocab_size, f"{folder / TOKENIZER}: post_processor: the first token")
        found["start_token"] = start
        return found
    begin = settings.get("bos_token_id", config.get("bos_token_id"))
    if type(begin) is int and 0 <= begin < vocab_size and begin not in ends:
        found["bos_token"] = begin
    return found


def _check_id(token: Any, vocab_size: int, what: str) -> None:
    if type(token) is not int or not 0 <= token < vocab_size:
        expected = f"an id from 0 to {vocab_size - 1:,}"
        raise RunError(f"{what} = {shown(token)}: expected {expected}")


def _read_sampling(settings: Fields, path: Path) -> Fields:
    found: Fields = {}
    for name in SAMPLING:
        if (value := settings.get(name)) is None:
            continue
        is_number = type(value) is int or (type(value) is float and name != "top_k")
        if not is_number or not 0 <= value < 1 << 31:
            raise RunError(f"{path}: {name} = {shown(value)}: expected a number of 0 or more")
        if value != OFF.get(name):
            found[name] = value if name == "top_k" else float(value)
    return found


def read_template(folder: Path) -> str | None:
    """Return the chat template: from a file of its own, else from the tokenizer's config."""
    path = folder / TEMPLATE
    template: Any
    if path.is_file():
        if path.stat().st_size > LARGEST_TEMPLATE:
            raise RunError(f"{path}: more than the {LARGEST_TEMPLATE:,} bytes expected of it")
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeError as error:
            raise RunError(f"{path}: expected UTF-8, but {error}; correct or remove it") from error
    path = folder / TOKENIZER_CONFIG
    template = read_object(path, LARGEST_CONFIG).get("chat_template") if path.is_file() else None
    if isinstance(template, list):
        named = [entry for entry in template if isinstance(entry, dict)]
        template = next((e.get("template") for e in named if e.get("name") == "default"), None)
    if not isinstance(template, str | None) or len(template or "") > LARGEST_TEMPLATE:
        raise RunError(f"{path}: chat_template: expected a text of at most {LARGEST_TEMPLATE:,}")
    return template


def write_manners(
    folder: Path, tokenizer: Tokenizer, generation: Fields, template: str | None, context: int
) -> Fields:
    """Write all that goes with the weights; return the special ids for config.json."""
    names = _write_tokenizer(folder / TOKENIZER, tokenizer, generation.get("start_token"))
    own_end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    start, ends = generation.get("start_token"), generation.get("stop_tokens") or own_end
    begin = generation.get("bos_token", start)
    settings: Fields = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    settings |= {"bos_token": names[begin]} if begin in names else {}
    settings |= {"eos_token": names[ends[0]]} if ends and ends[0] in names else {}
    if template is not None:
        settings["chat_template"] = template
        write_text(folder / TEMPLATE, template)
    write_json(folder / TOKENIZER_CONFIG, settings)
    end = ends[0] if len(ends) == 1 else ends or None
    ids: Fields = {"bos_token_id": begin, "eos_token_id": end}
    write_json(folder / GENERATION, {**ids, **_sampling(generation)})
    return ids


def _write_tokenizer(path: Path, tokenizer: Tokenizer, start: int | None) -> dict[int, str]:
    """Write a tokenizer.json that begins a text with `start`, if any; return its ids' names."""
    text = tokenizer.to_json()
    document = json.loads(text)
    names = token_names(document)
    if start is not None and start_token(document) != start:
        document["post_processor"] = _starting(document.get("post_processor"), start, names[start])
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    write_text(path, text)
    return names


def _sampling(generation: Fields) -> Fields:
    """Return the settings as transformers writes them, which is greedy unless told otherwise."""
    found = {name: generation[name] for name in SAMPLING if name in generation}
    if found.get("temperature") == 0:
        return {name: found[name] for name in found if name == "repetition_penalty"}
    return {"do_sample": True, **found} if found.keys() - {"repetition_penalty"} else found


def _starting(processor: Fields | None, token: int, name: str) -> Fields:
    """Return a post-processor that puts `token` before a text and does what `processor` does."""
    start: Fields = {"SpecialToken": {"id": name, "type_id": 0}}
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
