"""Classifiers as `transformers` keeps them: a class called ...ForSequenceClassification.

Its `score.weight` (labels, width) scores the vector of a text's last token, the rightmost that is
not `pad_token_id`; `id2label` in config.json names the scores. There is no output head.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, shown
from groundup.config import GPTConfig
from groundup.runs.classifier import ClassifierTable
from groundup.runs.generation import special_names
from groundup.runs.tensor_file import Stored
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.end import CONFIG as TOKENIZER_CONFIG
from groundup.tokenizer.end import LARGEST_CONFIG
from groundup.weights.hf.settings import Fields
from groundup.weights.json_object import read_object
from groundup.weights.pretrained import ClassifierHead, Exported
from groundup.weights.sampling_settings import stop_ids

SCORE, BIAS = "score.weight", "score.bias"
CLASS = "ForSequenceClassification"
OTHER_CLASSES = (
    "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", "DoubleHeadsModel",
)  # fmt: skip
"""Classes with another head than language models and classifiers have."""
RIGHT: Fields = {"padding_side": "right", "truncation_side": "right"}
"""Where a tokenizer pads and cuts texts: GPT-2 counts positions from the left, padding or not."""
ONE_LABEL = "single_label_classification"


def head_values(head: ClassifierHead) -> Fields:
    """Return what config.json says of a classifier's labels."""
    labels = head.table.labels
    return {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        "problem_type": ONE_LABEL,
    }


def with_padding(model: Exported) -> tuple[Fields, str | None]:
    """Return the settings of generation with a token that pads, and its name.

    None where the tokenizer has no token that text never becomes: any other may be the last of a
    text, which `transformers` would then take for padding. A token that ends texts serves well.
    """
    tokenizer, generation = model.tokenizer, model.generation
    ends = stop_ids(tokenizer, generation)
    names = {number: name for name, number in tokenizer.special_tokens.items()}
    added = {number: name for name, number in tokenizer.added_tokens.items()}
    named = special_names(generation, ends, added)
    own = tokenizer.special_tokens.get(named.get("pad_token", ""))
    start = generation.get("start_token")
    others = [*ends, *(number for number in names if number != start), start]
    pad = next((number for number in (own, *others) if number in names), None)
    if pad is None:
        without = {name: token for name, token in named.items() if name != "pad_token"}
        return {**generation, "special_tokens": without}, None
    return {**generation, "special_tokens": {**named, "pad_token": names[pad]}}, names[pad]


def padding_notice(pad: str | None) -> str:
    """Say what pads a batch, or that nothing can."""
    if pad is None:
        return (
            "no token of this tokenizer can pad, as each may end a text: transformers decides "
            "about one text at a time"
        )
    return f"{shown(pad)} pads a batch, on the right: no text becomes it"


def read_head(
    values: Mapping[str, Any], found: dict[str, Stored], config: GPTConfig, folder: Path
) -> tuple[ClassifierHead | None, list[str]]:
    """Take the head of a classifier out of the tensors `found`, and return what to know of it.

    None where config.json names the class of a language model. Raises `RunError` for another
    class, for what is no choice of one among several labels, and for labels that are damaged.
    """
    source = folder / "config.json"
    name = _class(values)
    if name.endswith(OTHER_CLASSES):
        raise RunError(
            f"{source}: architectures = {shown(name)}: expected a language model or a classifier "
            f"(...{CLASS}); its head cannot be expressed here"
        )
    if not name.endswith(CLASS):
        return None, []
    weight = found.pop(SCORE, None)
    if weight is None or BIAS in found or len(weight.shape) != 2:
        wrong = f"{BIAS}, which heads have not here" if BIAS in found else f"no matrix {SCORE}"
        raise RunError(f"{folder}: a classifier with {wrong}; fetch the whole model")
    if weight.shape[1] != config.emb_dim:
        raise RunError(f"{folder}: {SCORE} is {weight.shape}, expected (labels, {config.emb_dim})")
    _check_problem(values, weight.shape[0], source)
    labels, notices = _labels(values, weight.shape[0], source)
    length = _max_length(config, folder)
    table = ClassifierTable(labels=labels, pooling="last", max_length=length)
    return ClassifierHead(table=table, weight=weight), notices


def _class(values: Mapping[str, Any]) -> str:
    names = values.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""


def _check_problem(values: Mapping[str, Any], n_labels: int, source: Path) -> None:
    problem = values.get("problem_type")
    if problem not in (None, ONE_LABEL):
        raise RunError(
            f"{source}: problem_type = {shown(problem)}: expected {ONE_LABEL}: here a "
            "classifier chooses one label"
        )
    if n_labels < 2:
        raise RunError(
            f"{source}: a model that gives one number (a reward, or regression): expected 2 labels "
            "or more, of which a classifier chooses one"
        )


def _labels(
    values: Mapping[str, Any], n_labels: int, source: Path
) -> tuple[tuple[str, ...], list[str]]:
    """Return the names of the scores; without any they are those that transformers gives."""
    table = values.get("id2label")
    if table is None:
        labels = tuple(f"LABEL_{number}" for number in range(n_labels))
        return labels, [f"{source} names no labels: they are {labels[0]} to {labels[-1]}"]
    found = [table.get(str(n)) for n in range(n_labels)] if isinstance(table, dict) else []
    named = [one for one in found if isinstance(one, str) and one.strip() and one.isprintable()]
    if len({*named}) != n_labels or len(table) != n_labels:
        raise RunError(
            f"{source}: id2label = {shown(table)}: expected {n_labels} different names, by the "
            f"numbers 0 to {n_labels - 1} of the rows of {SCORE}; correct it"
        )
    return tuple(named), []


def _max_length(config: GPTConfig, folder: Path) -> int:
    """Return how many tokens of a text are read: as the tokenizer says, at most the context."""
    length = _tokenizer_settings(folder).get("model_max_length")
    if isinstance(length, int) and 0 < length < config.context_length:
        return length
    return config.context_length


def _tokenizer_settings(folder: Path) -> Fields:
    path = folder / TOKENIZER_CONFIG
    return read_object(path, LARGEST_CONFIG) if path.is_file() else {}


def reading_notices(
    values: Mapping[str, Any], tokenizer: Tokenizer | None, folder: Path
) -> list[str]:
    """Say where `transformers` reads some texts otherwise than they are read here."""
    if tokenizer is None:
        return []
    adds = _tokenizer_settings(folder).get("add_eos_token") is True
    if end := _appended(json.loads(tokenizer.to_json())) or ("eos_token" if adds else None):
        raise RunError(
            f"{folder}: its tokenizer ends every text with {shown(end)}, by which it decides; "
            "here texts are read without an end, so that it would decide otherwise"
        )
    pad = values.get("pad_token_id")
    if type(pad) is not int or not 0 <= pad < tokenizer.vocab_size:
        return []
    if pad in tokenizer.special_tokens.values():
        return []
    return [
        f"{folder}: its padding (id {pad}) is {shown(tokenizer.decode([pad]))}, which may end a "
        "text: transformers passes over it there, and here it counts"
    ]


def _appended(document: Fields) -> str | None:
    """Return the special token that the content of a tokenizer.json puts behind a text, if any."""
    processor = document.get("post_processor") or {}
    for part in processor.get("processors", [processor]):
        match part:
            case {
                "type": "TemplateProcessing",
                "single": [*_, {"SpecialToken": {"id": name}}],
            }:
                return str(name)
            case {"type": "BertProcessing" | "RobertaProcessing", "sep": [name, _]}:
                return str(name)
    return None
