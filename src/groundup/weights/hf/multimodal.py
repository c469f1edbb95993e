"""The part of a model of texts and pictures that is a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundup.runs.tensor_file import Stored

WRAPPERS = ("gemma3", "mistral3")
"""Types of models whose `text_config` is the config of a family here."""
_INSIDE = ("language_model.model.", "model.language_model.")
_HEADS = ("language_model.lm_head.", "lm_head.")
_OF_ALL = ("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings")


def text_config(values: dict[str, Any]) -> dict[str, Any]:
    """Return the config of the language model: of most models it is the whole."""
    inside = values.get("text_config")
    if values.get("model_type") not in WRAPPERS or not isinstance(inside, dict):
        return values
    return {key: values[key] for key in _OF_ALL if key in values} | inside


def text_tensors(found: Mapping[str, Stored]) -> tuple[dict[str, Stored], int]:
    """Return the tensors of the language model under its own names, and how many others are there.

    Files name them by either of two prefixes.
    """
    kept = {}
    for name, stored in found.items():
        for prefixes, own in ((_INSIDE, "model."), (_HEADS, "lm_head.")):
            for prefix in prefixes:
                if name.startswith(prefix):
                    kept[own + name.removeprefix(prefix)] = stored
    return kept, len(found) - len(kept)
