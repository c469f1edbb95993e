"""What the configs of families consist of: parts that are read into our fields and written back.

Each `Aspect` goes in both directions. What cannot be expressed is refused when reading; when
writing, nothing is refused: the caller reads again what was written and compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from groundup.base.errors import shown
from groundup.config import GPTConfig
from groundup.weights.equivalence import shortest_pattern
from groundup.weights.hf.settings import Fields, Settings

MOST_LAYERS = 4096
LOCAL, GLOBAL = "sliding_attention", "full_attention"
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


def biases(key: str, inner: str) -> Aspect:
    """A bias on all four projections of attention, and one inside the feed-forward network."""

    def read(settings: Settings) -> Fields:
        qkv, bias = settings.field("qkv_bias", key), settings.field("bias", inner)
        if qkv != bias:
            raise settings.refusal(key, f"the same as {inner}: attention's output has it too")
        return {"qkv_bias": qkv, "bias": bias}

    return Aspect(read, lambda config: {key: config.qkv_bias, inner: config.bias})


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


def rope(has_local: bool = False) -> Aspect:
    """Rotations: `rope_theta` and `rope_scaling`, or version 5's `rope_parameters`.

    With `has_local`, windowed layers have a base of their own, which is never scaled.
    """

    def read(settings: Settings) -> Fields:
        key = "rope_scaling" if settings["rope_scaling"] else "rope_parameters"
        far = settings.table(key)
        near: Fields = {}
        if has_local and {LOCAL, GLOBAL} & far.keys():
            near, far = (_inner(settings, key, far.get(kind)) for kind in (LOCAL, GLOBAL))
        fields = _rotation(settings, key, far)
        if has_local:
            if _kind(near) != "default":
                raise settings.refusal(key, f"no scaling in {LOCAL} layers", _kind(near))
            base = near.get("rope_theta", settings["rope_local_base_freq"])
            local = settings.typed("rope_local_base", "rope_local_base_freq", base)
            same = local == fields["rope_base"] and "rope_scaling" not in fields
            fields["rope_local_base"] = 0.0 if same else local
        return fields

    def write(config: GPTConfig) -> Fields:
        fields: Fields = {"rope_theta": config.rope_base, "rope_scaling": _scaling(config)}
        if has_local:
            fields["rope_local_base_freq"] = config.rope_local_base or config.rope_base
        return fields

    return Aspect(read, write)


def _inner(settings: Settings, key: str, value: Any) -> Fields:
    if not isinstance(value, dict | None):
        raise settings.refusal(key, f"objects for {LOCAL} and {GLOBAL}", value)
    return value or {}


def _kind(table: Fields) -> Any:
    return table.get("rope_type", table.get("type", "default"))


def _rotation(settings: Settings, key: str, table: Fields) -> Fields:
    """Return our fields for one table of rotations."""
    if {LOCAL, GLOBAL} & table.keys():
        raise settings.refusal(key, "the same rotations in all layers")

    def inside(ours: str, name: str, otherwise: Any = None) -> Any:
        return settings.typed(ours, f"{key}.{name}", table.get(name, otherwise))

    partial = table.get("partial_rotary_factor", settings["partial_rotary_factor"])
    if partial not in (None, 1):
        raise settings.refusal("partial_rotary_factor", "1: heads that turn whole", partial)
    fields = {"rope_base": inside("rope_base", "rope_theta", settings["rope_theta"])}
    kind = _kind(table)
    if kind == "default":
        return fields
    if kind not in ("linear", "llama3"):
        raise settings.refusal(f"{key}.rope_type", "default, linear or llama3", kind)
    fields |= {"rope_scaling": kind, "rope_factor": inside("rope_factor", "factor")}
    if kind == "llama3":
        for ours, name, otherwise in (
            ("rope_low_freq_factor", "low_freq_factor", None),
            ("rope_high_freq_factor", "high_freq_factor", None),
            ("rope_original_context", "original_max_position_embeddings",
             settings["max_position_embeddings"]),
        ):  # fmt: skip
            fields[ours] = inside(ours, name, otherwise)
    return fields


def _scaling(config: GPTConfig) -> Fields | None:
    if config.rope_scaling == "none":
        return None
    fields: Fields = {"rope_type": config.rope_scaling, "factor": config.rope_factor}
    if config.rope_scaling == "llama3":
        fields["low_freq_factor"] = config.rope_low_freq_factor
        fields["high_freq_factor"] = config.rope_high_freq_factor
        fields["original_max_position_embeddings"] = config.rope_original_context
    return fields


def window(flag: str | None = None) -> Aspect:
    """One window for all layers; with `flag`, only where that setting is true."""

    def read(settings: Settings) -> Fields:
        is_on = flag is None or settings[flag]
        return {"window": settings.field("window", "sliding_window") if is_on else None}

    def write(config: GPTConfig) -> Fields:
        switch = {} if flag is None else {flag: config.window is not None}
        return {"sliding_window": config.window, **switch}

    return Aspect(read, write)


def layer_windows(local: Callable[[Settings, int], bool], flag: str | None = None) -> Aspect:
    """Windows in some layers: those in `layer_types`, or where `local` says so by the number."""

    def read(settings: Settings) -> Fields:
        size = settings.field("window", "sliding_window")
        if size is None or (flag and not settings[flag]):
            return {}
        pattern = shortest_pattern(_letters(settings, local))
        return {"window": size, "window_pattern": pattern} if "L" in pattern else {}

    def write(config: GPTConfig) -> Fields:
        windows = [config.window_of(i) for i in range(config.n_layers)]
        types = [GLOBAL if size is None else LOCAL for size in windows]
        # Where no layer has a window, transformers still wants a number for it.
        fields: Fields = {"layer_types": types, "sliding_window": config.window or 4096}
        if flag:
            fields[flag] = LOCAL in types
            fields["max_window_layers"] = types.index(LOCAL) if LOCAL in types else len(types)
        return fields

    return Aspect(read, write)


def _letters(settings: Settings, local: Callable[[Settings, int], bool]) -> str:
    """Return a letter for each layer: L has the window, G sees all."""
    n_layers, types = settings["num_hidden_layers"], settings["layer_types"]
    if types is None:
        return "".join("L" if local(settings, i) else "G" for i in range(n_layers))
    letters = {LOCAL: "L", GLOBAL: "G"}
    if not isinstance(types, list) or len(types) != n_layers:
        raise settings.refusal("layer_types", f"a list of {n_layers}, one for each layer")
    for kind in types:
        if not isinstance(kind, str) or kind not in letters:
            raise settings.refusal("layer_types", f"{LOCAL} or {GLOBAL}", shown(kind))
    return "".join(letters[kind] for kind in types)
