"""Sampling settings that come with a model, checked: what makes no sense is off, with a notice.

Such files are written by hand and by many programs, and none of their fields is worth a model that
cannot be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from groundup.base.errors import quoted
from groundup.tokenizer import Tokenizer

LARGEST = 1 << 31
OFF = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Values that are the same as none; a temperature has no such value."""

Check = tuple[Callable[[float], bool], str]
CHECKS: dict[str, Check] = {
    "temperature": (lambda value: 0 <= value < LARGEST, "0 or more"),
    "top_k": (lambda value: 0 <= value < LARGEST, "a whole number of 0 or more"),
    "top_p": (lambda value: 0 < value <= 1, "above 0, at most 1"),
    "min_p": (lambda value: 0 <= value <= 1, "from 0 to 1"),
    "repetition_penalty": (lambda value: 0 < value < LARGEST, "above 0"),
}
"""What each setting may be, as `SamplingConfig` wants it, and that in words."""


def read_sampling(fields: Mapping[str, Any], source: object) -> tuple[dict[str, Any], list[str]]:
    """Return the sampling settings among `fields` and a notice for each that is taken as off.

    Without sampling (`do_sample` is false) the best token is taken: temperature 0. With it, a
    temperature that is not given is 1, as these files mean it.
    """
    found: dict[str, Any] = {}
    notices = []
    for name, (is_right, expected) in CHECKS.items():
        value = fields.get(name)
        if value is None:
            continue
        kinds = (int,) if name == "top_k" else (int, float)
        if type(value) not in kinds or not is_right(value):
            notices.append(
                f"{source}: {name} = {quoted(value)} is taken as off: expected {expected}"
            )
        elif value != OFF.get(name):
            found[name] = value if name == "top_k" else float(value)
    does_sample = fields.get("do_sample")
    if not isinstance(does_sample, bool | None):
        told = f"do_sample = {quoted(does_sample)} is passed over: expected true or false"
        notices.append(f"{source}: {told}")
    elif does_sample is False:
        found = {"temperature": 0.0, **_penalty(found)}
    elif does_sample:
        found = {"temperature": 1.0, **found}
    return found, notices


def _penalty(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one setting that changes what greedy writing takes."""
    return {name: found[name] for name in found if name == "repetition_penalty"}


def read_ids(value: Any, vocab_size: int, what: str) -> tuple[list[int], list[str]]:
    """Return the token ids in `value`, one or a list, and a notice for each that is none."""
    if value is None:
        return [], []
    listed = value if isinstance(value, list) else [value]
    if not listed:
        return [], [f"{what} = [] is passed over: expected at least one token id"]
    right = [n for n in listed if type(n) is int and 0 <= n < vocab_size]
    wrong = [n for n in listed if not (type(n) is int and 0 <= n < vocab_size)]
    expected = f"a token id from 0 to {vocab_size - 1:,}"
    notices = [f"{what} = {quoted(n)} is passed over: expected {expected}" for n in wrong[:3]]
    notices += [f"{what}: {len(wrong) - 3:,} more are passed over"] * (len(wrong) > 3)
    return list(dict.fromkeys(right)), notices


def written_sampling(generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings as generation_config.json says them.

    There greedy is the default, and so is a top_k of 50 where it samples.
    """
    found = {name: generation[name] for name in CHECKS if name in generation}
    if found.get("temperature") == 0:
        return {"do_sample": False, **_penalty(found)}
    return (
        {"do_sample": True, "top_k": 0, **found} if found.keys() - {"repetition_penalty"} else found
    )


def stop_ids(tokenizer: Tokenizer, generation: Mapping[str, Any]) -> list[int]:
    """Return all ids that end a run's texts, the most important first.

    The tokenizer's own end counts where no others are given, and where it was chosen by hand.
    """
    stops = list(generation.get("stop_tokens") or [])
    own = tokenizer.end_of_text
    is_told = own in stops or (stops and tokenizer.given_end is None)
    return stops if own is None or is_told else [*stops, own]
