"""What the configs of families consist of: parts that are read into our fields and written back.

Each `Aspect` goes in both directions. What cannot be expressed is refused when reading; when
writing, nothing is refused: the caller reads again what was written and compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from groundup.base.errors import shown
from groundup.config import GPTConfig
from groundup.weights.equivalence import shortest_pattern
from groundup.weights.hf.settings import Fields, Settings

MOST_LAYERS = 4096
SCALINGS: dict[str, dict[str, str]] = {
    "linear": {},
    "llama3": {
        "rope_low_freq_factor": "low_freq_factor",
        "rope_high_freq_factor": "high_freq_factor",
    },
    "yarn": {"rope_low_freq_factor": "beta_slow", "rope_high_freq_factor": "beta_fast"},
}
"""What slows rotations, and its fields by their names."""
KINDS = ("default", "dynamic", *SCALINGS)
_YARN = {"beta_slow": 1.0, "beta_fast": 32.0}
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


def rope(
    theta: str = "rope_theta",
    partial: str | None = None,
    local: str | None = None,
    slowed: bool = True,
    otherwise: Fields | None = None,
) -> Aspect:
    """Rotations: `theta` and `rope_scaling`, or version 5's `rope_parameters`.

    `partial` is the setting for the share of a head that turns, `local` that for the base of
    windowed layers, which is never scaled; None where a family has no such thing. Where it is not
    `slowed`, what others call so is something else there; `otherwise` is the table that its class
    takes where a config has none.
    """

    def read(settings: Settings) -> Fields:
        key, far, near = _tables(settings, local, otherwise)
        if not slowed and _kind(far) != "default":
            raise settings.refusal(f"{key}.rope_type", "default", _kind(far))
        fields = _rotation(settings, key, far, theta, partial)
        if local:
            if not fields.get("rope_truncate", True):  # which transformers passes over here
                raise settings.refusal(f"{key}.truncate", "true", False)
            fields["rope_local_base"] = _local_base(settings, key, near, local, fields)
        return fields

    def write(config: GPTConfig) -> Fields:
        fields: Fields = {theta: config.rope_base, "rope_scaling": _scaling(config)}
        if partial:
            fields[partial] = config.rope_fraction
        if local and local != theta:
            fields[local] = config.rope_local_base or config.rope_base
        elif otherwise:
            scaling = _scaling(config) or {"rope_type": "default"}
            fields["rope_parameters"] = {**scaling, theta: config.rope_base}
        elif local:  # both ways, as version 5 reads the flat one with another base in windows
            far = {"rope_type": "default", **(_scaling(config) or {}), theta: config.rope_base}
            near = {"rope_type": "default", theta: config.rope_local_base or config.rope_base}
            fields["rope_parameters"] = {GLOBAL: far, LOCAL: near}
        return fields

    return Aspect(read, write)


def _tables(
    settings: Settings, local: str | None, otherwise: Fields | None
) -> tuple[str, Fields, Fields]:
    """Return the key of the table of rotations, the table, and that of windowed layers.

    With both keys version 5 takes the older, and loses the base that the other names.
    """
    scaling, table = settings.table("rope_scaling"), settings.table("rope_parameters")
    if not table:
        if otherwise and not scaling and settings["rope_parameters"] is None:
            return "rope_parameters", otherwise, {}
        return "rope_scaling", scaling, {}
    key, near = "rope_parameters", {}
    if local and {LOCAL, GLOBAL} & table.keys():
        near, table = (_inner(settings, key, table.get(kind)) for kind in (LOCAL, GLOBAL))
    if any(table.get(name) != value for name, value in scaling.items()):
        raise settings.refusal("rope_scaling", f"null, or what {key} says; remove one of the two")
    return key, table, near


def _local_base(settings: Settings, key: str, near: Fields, local: str, fields: Fields) -> float:
    """Return the base of windowed layers; 0 where these turn as all others do."""
    if _kind(near) != "default":
        raise settings.refusal(key, f"no scaling in {LOCAL} layers", _kind(near))
    base: float = settings.typed("rope_local_base", local, near.get("rope_theta", settings[local]))
    if key == "rope_parameters" and local == "rope_theta" and "rope_theta" not in near:
        # Version 5 takes the class's own base here; before, a file had one for all layers.
        raise settings.refusal(key, f"a rope_theta for {LOCAL}", near)
    same = base == fields["rope_base"] and "rope_scaling" not in fields
    return 0.0 if same else base


def _inner(settings: Settings, key: str, value: Any) -> Fields:
    if not isinstance(value, dict | None):
        raise settings.refusal(key, f"objects for {LOCAL} and {GLOBAL}", value)
    return value or {}


def _kind(table: Fields) -> Any:
    return table.get("rope_type", table.get("type", "default"))


def _rotation(
    settings: Settings, key: str, table: Fields, theta: str, partial: str | None
) -> Fields:
    """Return our fields for one table of rotations."""
    if {LOCAL, GLOBAL} & table.keys():
        raise settings.refusal(key, "the same rotations in all layers")

    def inside(ours: str, name: str, otherwise: Any = None) -> Any:
        return settings.typed(ours, f"{key}.{name}", table.get(name, otherwise))

    share = table.get("partial_rotary_factor", settings[partial or "partial_rotary_factor"])
    if not partial and share not in (None, 1):
        raise settings.refusal("partial_rotary_factor", "1: heads that turn whole", share)
    fields = {"rope_base": inside("rope_base", "rope_theta", settings[theta])}
    if partial:
        fields["rope_fraction"] = settings.typed("rope_fraction", partial, share)
    kind = _kind(table)
    if kind in ("default", "dynamic"):  # the second slows beyond max_position_embeddings alone
        return fields
    if not isinstance(kind, str) or kind not in SCALINGS:
        raise settings.refusal(f"{key}.rope_type", f"one of {', '.join(KINDS)}", kind)
    fields |= {"rope_scaling": kind, "rope_factor": inside("rope_factor", "factor")}
    if kind != "linear":
        fields["rope_original_context"] = inside(
            "rope_original_context",
            "original_max_position_embeddings",
            settings["max_position_embeddings"],
        )
        _check_original(settings, key, fields["rope_original_context"])
        for ours, theirs in SCALINGS[kind].items():
            usual = _YARN.get(theirs) if kind == "yarn" else None
            given = table.get(theirs) or usual  # yarn: null and 0 are the usual, as there
            fields[ours] = settings.typed(ours, f"{key}.{theirs}", given)
    if kind == "yarn":
        fields["rope_attention_factor"] = _attention_factor(settings, key, table, fields)
        fields["rope_truncate"] = inside("rope_truncate", "truncate", True)
    return fields


def _check_original(settings: Settings, key: str, within: int) -> None:
    """Refuse another context beside the table: which of the two counts depends on the class."""
    name = "original_max_position_embeddings"
    if settings[name] not in (None, within):
        raise settings.refusal(name, f"the same as {key} has: {within:,}")


def _attention_factor(settings: Settings, key: str, table: Fields, fields: Fields) -> float:
    """Return what YaRN multiplies turned queries and keys by; 0 where it is the usual."""
    given = table.get("attention_factor")
    scale, scale_all = (table.get(name) for name in ("mscale", "mscale_all_dim"))
    if given is None and scale and scale_all:
        scales = (
            settings.typed("rope_attention_factor", f"{key}.{name}", table[name])
            for name in ("mscale", "mscale_all_dim")
        )
        first, second = (0.1 * each * math.log(fields["rope_factor"]) + 1 for each in scales)
        given = first / second
    factor: float = settings.typed("rope_attention_factor", f"{key}.attention_factor", given)
    if given is not None and factor <= 0:
        raise settings.refusal(f"{key}.attention_factor", "above 0", given)
    return factor


def _scaling(config: GPTConfig) -> Fields | None:
    kind = config.rope_scaling
    if kind == "none":
        return None
    fields: Fields = {"rope_type": kind, "factor": config.rope_factor}
    if kind != "linear":
        fields["original_max_position_embeddings"] = config.rope_original_context
        fields |= {theirs: getattr(config, ours) for ours, theirs in SCALINGS[kind].items()}
    if kind == "yarn" and config.rope_attention_factor:
        fields["attention_factor"] = config.rope_attention_factor
    if kind == "yarn":
        fields["truncate"] = config.rope_truncate
    return fields


def rotated_layers(rotated: Callable[[Settings, int], bool], key: str | None = None) -> Aspect:
    """Which layers have positions: those with a 1 in the list at `key`, or as `rotated` says."""

    def read(settings: Settings) -> Fields:
        n_layers, told = settings["num_hidden_layers"], settings[key] if key else None
        if told is None:
            told = [rotated(settings, i) for i in range(n_layers)]
        if (
            not isinstance(told, list)
            or len(told) < n_layers
            or any(is_on not in (0, 1) for is_on in told)
        ):
            raise settings.refusal(str(key), f"a list of {n_layers} zeros and ones")
        return {"rope_pattern": shortest_pattern("".join("NR"[is_on] for is_on in told[:n_layers]))}

    def write(config: GPTConfig) -> Fields:
        return {key: [int(config.is_rotated(i)) for i in range(config.n_layers)]} if key else {}

    return Aspect(read, write)


def window(flag: str | None = None) -> Aspect:
    """One window for all layers; with `flag`, only where that setting is true."""

    def read(settings: Settings) -> Fields:
        is_on = flag is None or settings[flag]
        return {"window": settings.field("window", "sliding_window") if is_on else None}

    def write(config: GPTConfig) -> Fields:
        switch = {} if flag is None else {flag: config.window is not None}
        return {"sliding_window": config.window, **switch}

    return Aspect(read, write)


def neo_windows() -> Aspect:
    """GPT-Neo's: groups of layers, each a list of kinds and how often it comes."""
    letters = {"local": "L", "global": "G"}

    def read(settings: Settings) -> Fields:
        key = "attention_types" if settings["attention_layers"] is None else "attention_layers"
        n_layers = settings["num_layers"]
        groups = settings[key] if key == "attention_types" else [[settings[key], 1]]
        most = n_layers + 1  # a damaged file may say any number
        try:
            repeated = (some for some, n in groups for _ in range(min(n, most)))
            kinds = "".join(letters[kind] for some in repeated for kind in some)
        except (TypeError, ValueError, KeyError):
            kinds = ""
        if len(kinds) != n_layers:
            raise settings.refusal(key, f"global or local for {n_layers} layers")
        if "L" not in kinds:
            return {}
        size = settings.field("window", "window_size")
        if size is None:
            raise settings.refusal("window_size", "a number of tokens, as some layers are local")
        return {"window": size, "window_pattern": shortest_pattern(kinds)}

    def write(config: GPTConfig) -> Fields:
        windows = [config.window_of(i) for i in range(config.n_layers)]
        kinds = ["global" if size is None else "local" for size in windows]
        return {"attention_types": [[kinds, 1]], "window_size": config.window or 256}

    return Aspect(read, write)


def positions_in_windows(local: Callable[[Settings, int], bool]) -> Aspect:
    """Only layers with a window have positions (Cohere 2)."""

    def read(settings: Settings) -> Fields:
        if settings["sliding_window"] is None:
            return {"rope_pattern": "N"}
        letters = _letters(settings, local)
        return {"rope_pattern": shortest_pattern(letters.replace("L", "R").replace("G", "N"))}

    return Aspect(read, lambda config: {})


def layer_windows(local: Callable[[Settings, int], bool], flag: str | None = None) -> Aspect:
    """Windows in some layers: those in `layer_types`, or where `local` says so by the number."""

    def read(settings: Settings) -> Fields:
        size = settings.field("window", "sliding_window")
        if size is None or (flag and not settings[flag]):
            types = settings["layer_types"]
            if isinstance(types, list) and LOCAL in types:
                off = "sliding_window" if size is None else flag
                raise settings.refusal("layer_types", f"no {LOCAL} where {off} is off")
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
