"""What the configs of families consist of: parts that are read into our fields and written back.

Each `Aspect` goes in both directions. What cannot be expressed is refused when reading; when
writing, nothing is refused: the caller reads again what was written and compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from groundup.config import GPTConfig
from groundup.weights.hf.settings import Fields, Settings

MOST_LAYERS = 4096
SILU, GELU_TANH = ("silu", "swish"), ("gelu_pytorch_tanh", "gelu_new", "gelu_fast")
GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
"""The same three, the one that GPT-2 is written with first."""


class Aspect(NamedTuple):
    """A part of a config: from their settings to our fields, and back."""

    read: Callable[[Settings], Fields]
    write: Callable[[GPTConfig], Fields]


def numbers(**names: str) -> Aspect:
    """Our fields under their names."""
    return Aspect(
        lambda settings: {ours: settings.field(ours, theirs) for ours, theirs in names.items()},
        lambda config: {theirs: getattr(config, ours) for ours, theirs in names.items()},
    )


def respelled(ours: str, *names: str) -> Aspect:
    """One of our fields under several names: the first that is there is read, the first written."""

    def read(settings: Settings) -> Fields:
        name = next((name for name in names if name in settings.values), names[0])
        return {ours: settings.field(ours, name)}

    return Aspect(read, lambda config: {names[0]: getattr(config, ours)})


def bounds(**names: str) -> Aspect:
    """Our fields in which 0 is "none", under their names, where that is null."""
    read = numbers(**names).read
    return Aspect(
        read, lambda config: {theirs: getattr(config, o) or None for o, theirs in names.items()}
    )


def fixed(**fields: Any) -> Aspect:
    """What all models of a family have in common."""
    return Aspect(lambda settings: fields, lambda config: {})


def only(**values: Any) -> Aspect:
    """Their settings of which we can express but one value."""

    def read(settings: Settings) -> Fields:
        for key, value in values.items():
            if settings[key] != value and (settings[key] or value):
                raise settings.refusal(key, f"{value!r}, or its model computes what ours cannot")
        return {}

    return Aspect(read, lambda config: {k: v for k, v in values.items() if v is not None})


def packed(method: str) -> Aspect:
    """Weights as they are, or in the one packed format that is unpacked on reading."""

    def read(settings: Settings) -> Fields:
        table = settings.table("quantization_config")
        if table and table.get("quant_method") != method:
            raise settings.refusal("quantization_config", f"null, or quant_method = {method}")
        return {}

    return Aspect(read, lambda config: {})


def written(**values: Any) -> Aspect:
    """Their settings that a model of ours always has so; what they say is folded into weights."""
    return Aspect(lambda settings: {}, lambda config: values)


def choice(ours: str, key: str, **values: Any) -> Aspect:
    """One of our fields whose values stand for theirs at `key`; the first is written otherwise."""

    def read(settings: Settings) -> Fields:
        for name, value in values.items():
            if settings[key] == value:
                return {ours: name}
        raise settings.refusal(key, " or ".join(map(repr, values.values())))

    first = next(iter(values.values()))
    return Aspect(read, lambda config: {key: values.get(getattr(config, ours), first)})


def embedded_as_wide(key: str) -> Aspect:
    """The width of embeddings, which must be that of the model."""

    def read(settings: Settings) -> Fields:
        if settings[key] not in (None, settings["hidden_size"]):
            raise settings.refusal(key, "the same as hidden_size: nothing here widens embeddings")
        return {}

    return Aspect(read, lambda config: {key: config.emb_dim})


def dropout(attention: str, *others: str) -> Aspect:
    """Settings that only training looks at, written as ours; what others trained with is theirs."""

    def write(config: GPTConfig) -> Fields:
        return dict.fromkeys(others, config.drop_rate) | {attention: config.attention_dropout}

    return Aspect(lambda settings: {}, write)


def layers(key: str) -> Aspect:
    """The number of layers, which others count by."""

    def read(settings: Settings) -> Fields:
        n_layers = settings.field("n_layers", key)
        if not 1 <= n_layers <= MOST_LAYERS:
            raise settings.refusal(key, f"from 1 to {MOST_LAYERS:,}")
        return {"n_layers": n_layers}

    return Aspect(read, lambda config: {key: config.n_layers})


def activation(key: str, **spellings: tuple[str, ...]) -> Aspect:
    """Our feed-forward networks by the names of their activations; the first is the one written."""

    def read(settings: Settings) -> Fields:
        for ours, theirs in spellings.items():
            if settings[key] in theirs:
                return {"feed_forward": ours}
        known = (name for theirs in spellings.values() for name in theirs)
        raise settings.refusal(key, f"one of {', '.join(known)}")

    def write(config: GPTConfig) -> Fields:
        theirs = spellings.get(config.feed_forward) or next(iter(spellings.values()))
        return {key: theirs[0]}

    return Aspect(read, write)


def alike(ours: str, *names: str) -> Aspect:
    """One of our fields that several of theirs must agree on."""

    def read(settings: Settings) -> Fields:
        first, *others = (settings.field(ours, name) for name in names)
        for name, other in zip(names[1:], others, strict=True):
            if other != first:
                raise settings.refusal(names[0], f"the same as {name}: ours has one for both")
        return {ours: first}

    return Aspect(read, lambda config: dict.fromkeys(names, getattr(config, ours)))


def query_scale(key: str) -> Aspect:
    """What scores are divided by the square root of; ours leaves it out where it is head_dim."""

    def read(settings: Settings) -> Fields:
        value = settings.field("query_pre_attn_scalar", key)
        return {"query_pre_attn_scalar": 0.0 if value == settings["head_dim"] else value}

    # A whole number: transformers takes no other, and what it is not, reading again shows.
    return Aspect(read, lambda config: {key: int(config.query_pre_attn_scalar or config.head_dim)})


def whole_heads() -> Aspect:
    """Families whose class in transformers wants heads that divide the width, though unused."""

    def read(settings: Settings) -> Fields:
        width, heads = settings["hidden_size"], settings["num_attention_heads"]
        if type(width) is int and type(heads) is int and heads > 0 and width % heads:
            raise settings.refusal("num_attention_heads", f"a divisor of hidden_size = {width}")
        return {}

    return Aspect(read, lambda config: {})
