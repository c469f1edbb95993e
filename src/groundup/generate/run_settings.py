"""A run's own settings for sampling: the generation.toml that its makers or its user wrote."""

from __future__ import annotations

from typing import Any, Protocol

from groundup.base.errors import ConfigError, GroundupError, nearest, shown
from groundup.config.fields import build
from groundup.generate.sampling import SamplingConfig
from groundup.generate.template import ChatTemplate
from groundup.model import GPT
from groundup.runs.generation import TOKENS, check_tokens, special_names
from groundup.tokenizer import Tokenizer

NUMBERS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


class Writer(Protocol):
    """What a loaded run says of how its model is to write, and an assistant in memory does, too."""

    @property
    def model(self) -> GPT:
        """The model."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Its tokenizer."""

    @property
    def chat_template(self) -> str | None:
        """The form of its dialogues, if it has one."""

    @property
    def generation(self) -> dict[str, Any]:
        """What generation.toml says."""


def run_settings(run: Writer, **asked: Any) -> dict[str, Any]:
    """Return the settings for `generate`: what is asked for, else what generation.toml says.

    None asks for nothing. What generation.toml has no use for is a one-line `ConfigError`.
    """
    given = _checked(run)
    advised = {key: given[key] for key in (*NUMBERS, "stop_tokens", "start_token") if key in given}
    return advised | {key: value for key, value in asked.items() if value is not None}


def run_template(run: Writer) -> ChatTemplate | None:
    """Return the run's chat template, where there is one, with the names of its special tokens."""
    if run.chat_template is None:
        return None
    return named_template(run.chat_template, _checked(run), run.tokenizer)


def named_template(source: str, generation: dict[str, Any], tokenizer: Tokenizer) -> ChatTemplate:
    """Return a template with the names that generation.toml and the tokenizer give their tokens."""
    if "special_tokens" in generation:
        return ChatTemplate(source, special_tokens=generation["special_tokens"])
    end = tokenizer.end_of_text
    stops = generation.get("stop_tokens") or ([] if end is None else [end])
    names = {token: name for name, token in tokenizer.special_tokens.items()}
    named = special_names(generation, stops, names)
    return ChatTemplate(source, named.get("bos_token", ""), named.get("eos_token", ""))


def chat_settings(run: Writer, template: ChatTemplate, **asked: Any) -> dict[str, Any]:
    """Return `run_settings`, with what ends an assistant's turn among the stop tokens."""
    settings = run_settings(run, **asked)
    stops = [*settings.get("stop_tokens", []), *template.turn_ends(run.tokenizer)]
    return settings | {"stop_tokens": list(dict.fromkeys(stops))}


def _checked(run: Writer) -> dict[str, Any]:
    try:
        _check(run)
    except GroundupError as error:
        raise ConfigError(f"generation.toml: {error}; correct or remove it") from None
    return run.generation


def _check(run: Writer) -> None:
    """Refuse keys that mean nothing, numbers that make no sense and ids beyond the vocabulary."""
    given = run.generation
    known = (*NUMBERS, *TOKENS, "stop_tokens", "special_tokens")
    if unknown := given.keys() - known:
        key = min(unknown)
        raise ConfigError(f"unknown key '{shown(key)}'; {nearest(key, known)}")
    build(SamplingConfig, {key: given[key] for key in NUMBERS if key in given})
    check_tokens(given, run.model.config.vocab_size)
