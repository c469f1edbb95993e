"""What begins, ends and samples texts, as the metadata of a GGUF file say it; both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groundup.base.errors import shown
from groundup.runs.generation import special_names
from groundup.tokenizer import Tokenizer
from groundup.weights.sampling_settings import CHECKS, read_ids, read_sampling, stop_ids

GGML = "tokenizer.ggml."
TEMPLATE = "tokenizer.chat_template"

END_TOKENS = ("eos", "eot", "eom")
"""The special tokens that end a text, an answer, or a call of a tool."""

GGUF_NAMES = {
    "bos_token": "bos",
    "eos_token": "eos",
    "unk_token": "unknown",
    "sep_token": "seperator",  # as GGUF spells it
    "pad_token": "padding",
    "cls_token": "cls",
    "mask_token": "mask",
}
"""GGUF's names of the special tokens, by those of chat templates and tokenizer_config.json."""

HAS_BOS = GGML + "has_bos_token"
"""Ours: false where the file must name a token that begins texts, as llama.cpp would take just any,
and the model has none."""

NO_BOS = "{%- set bos_token = '' %}\n"
"""Put before a chat template that asks for a token which begins texts, where there is none: for
llama.cpp there always is. A line of its own, since templates are rendered with trim_blocks."""

_CALLED = {"temperature": "temp", "repetition_penalty": "penalty_repeat"}
SAMPLING_KEYS = {name: f"general.sampling.{_CALLED.get(name, name)}" for name in CHECKS}


def read_generation(
    metadata: Mapping[str, Any], starts: bool, tokens: Sequence[str], source: object
) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of generation.toml, and what of it makes no sense and is passed over.

    `starts` says whether a text begins with the bos token where the file is silent.
    """
    told = {name: metadata.get(key) for name, key in SAMPLING_KEYS.items()}
    generation, notices = read_sampling({k: _short(v) for k, v in told.items()}, source)
    found: dict[str, int] = {}
    for name in dict.fromkeys((*GGUF_NAMES.values(), *END_TOKENS)):
        key = f"{GGML}{name}_token_id"
        ids, odd = read_ids(metadata.get(key), len(tokens), f"{source}: {key}")
        found |= {name: ids[0]} if ids else {}
        notices += odd
    if metadata.get(HAS_BOS) is False:
        found.pop("bos", None)
    if stops := list(dict.fromkeys(found[name] for name in END_TOKENS if name in found)):
        generation["stop_tokens"] = stops
    adds = metadata.get(GGML + "add_bos_token", starts)
    if not isinstance(adds, bool):
        expected = "expected true or false"
        notices.append(f"{source}: {GGML}add_bos_token = {shown(adds)} is passed over: {expected}")
        adds = starts
    if adds and "bos" in found:
        generation["start_token"] = found["bos"]
    generation["special_tokens"] = {
        word: tokens[found[name]] for word, name in GGUF_NAMES.items() if name in found
    }
    return generation, notices


def written_template(template: str, metadata: Mapping[str, Any]) -> str:
    """Return a chat template with which llama.cpp writes what `transformers` writes."""
    asks = metadata.get(HAS_BOS) is False and "bos_token" in template
    return NO_BOS + template if asks else template


def _short(value: Any) -> Any:
    """Return a number of 32 bits as it was written."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def special_metadata(
    tokenizer: Tokenizer, generation: dict[str, Any], tokens: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the metadata that say what begins, ends and samples texts, and remarks."""
    numbers = {token: n for n, token in enumerate(tokens)}
    ends = stop_ids(tokenizer, generation)
    named = {
        word: numbers[token]
        for word, token in special_names(generation, ends, dict(enumerate(tokens))).items()
        if token in numbers and word in GGUF_NAMES
    }
    ends = list(dict.fromkeys([*([named["eos_token"]] if "eos_token" in named else []), *ends]))
    start = generation.get("start_token")
    begin = named.get("bos_token") if start is None else start
    ids = {GGUF_NAMES[word]: n for word, n in named.items()}
    ids |= dict(zip(END_TOKENS, ends, strict=False))
    if begin is not None or ends:
        ids["bos"] = ends[0] if begin is None else begin
    found: dict[str, Any] = {f"{GGML}{name}_token_id": n for name, n in ids.items()}
    found[GGML + "add_bos_token"] = start is not None
    if begin is None:
        found[HAS_BOS] = False
    found |= {key: generation[name] for name, key in SAMPLING_KEYS.items() if name in generation}
    beyond = ", ".join(tokens[n] for n in ends[len(END_TOKENS) :])
    notices = [f"llama.cpp knows three tokens that end a text: {beyond} left out"] if beyond else []
    return found, notices
