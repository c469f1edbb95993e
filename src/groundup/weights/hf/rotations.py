"""Rotations in the configs of families: their base, what slows them, which layers turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from groundup.config import GPTConfig
from groundup.weights.equivalence import shortest_pattern
from groundup.weights.hf.aspects import Aspect
from groundup.weights.hf.settings import Fields, Settings
from groundup.weights.hf.windows import GLOBAL, LOCAL
from groundup.weights.longrope import longrope_fields

SCALINGS: dict[str, dict[str, str]] = {
    "linear": {},
    "llama3": {
        "rope_low_freq_factor": "low_freq_factor",
        "rope_high_freq_factor": "high_freq_factor",
    },
    "yarn": {"rope_low_freq_factor": "beta_slow", "rope_high_freq_factor": "beta_fast"},
}
"""What slows rotations, and its fields by their names."""
KINDS = {
    "default": "none",
    "dynamic": "none",  # it slows beyond max_position_embeddings alone
    **{name: name for name in (*SCALINGS, "longrope")},
}
"""What transformers calls them, and what we do."""
QUIET_KINDS = {name: ours for name, ours in KINDS.items() if ours not in ("yarn", "longrope")}
"""Those that multiply turned queries and keys by nothing: what norms them would undo it."""
PHI3_KINDS = {"default": "none", **dict.fromkeys(("longrope", "su", "yarn"), "longrope")}
_YARN = {"beta_slow": 1.0, "beta_fast": 32.0}


def rope(
    theta: str = "rope_theta",
    partial: str | None = None,
    local: str | None = None,
    kinds: Mapping[str, str] = KINDS,
    otherwise: Fields | None = None,
) -> Aspect:
    """Rotations: `theta` and `rope_scaling`, or version 5's `rope_parameters`.

    `partial` is the setting for the share of a head that turns, `local` that for the base of
    windowed layers, which is never scaled; None where a family has no such thing. `kinds` are what
    slows them, by the family's names; `otherwise` is the table that its class takes where a config
    has none.
    """

    def read(settings: Settings) -> Fields:
        key, far, near = _tables(settings, local, otherwise)
        if local:  # such a class does not look for it beside the table
            most = settings["max_position_embeddings"]
            far = {"original_max_position_embeddings": most, **far}
        fields = _rotation(settings, key, far, theta, partial, kinds)
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
        if config.rope_scaling == "longrope":  # beside the table, where Phi 3 looks for it
            fields["original_max_position_embeddings"] = config.context_length
        return fields

    return Aspect(read, write)


def longrope_heads() -> Aspect:
    """Phi 3's class counts longrope's factors by heads that divide the width, though unused."""

    def read(settings: Settings) -> Fields:
        table = settings.table("rope_parameters") or settings.table("rope_scaling")
        heads, width = settings["num_attention_heads"], settings["hidden_size"]
        whole = width // heads if type(width) is type(heads) is int and heads > 0 else None
        if "short_factor" in table and settings["head_dim"] not in (None, whole):
            raise settings.refusal("head_dim", f"{whole}, where rotations are slowed by longrope")
        return {}

    return Aspect(read, lambda config: {})


def _tables(
    settings: Settings, local: str | None, otherwise: Fields | None
) -> tuple[str, Fields, Fields]:
    """Return the key of the table of rotations, the table, and that of windowed layers.

    With both keys version 5 takes the older, and loses the base that the other names. Of a class
    with windows, it passes over one table for all layers, and over the name that `rope_type` had.
    """
    scaling, table = settings.table("rope_scaling"), settings.table("rope_parameters")
    if local and "type" in scaling and "rope_type" not in scaling:
        raise settings.refusal("rope_scaling", "rope_type in place of type")
    if not table:
        if otherwise and not scaling and settings["rope_parameters"] is None:
            return "rope_parameters", otherwise, {}
        return "rope_scaling", scaling, {}
    key, near = "rope_parameters", {}
    if local:
        if not {LOCAL, GLOBAL} & table.keys():
            raise settings.refusal(key, f"objects for {LOCAL} and {GLOBAL}")
        near, table = (_inner(settings, key, table.get(kind)) for kind in (LOCAL, GLOBAL))
    if any(table.get(name) != value for name, value in scaling.items()):
        raise settings.refusal("rope_scaling", f"null, or what {key} says; remove one of the two")
    return key, table, near


def _local_base(settings: Settings, key: str, near: Fields, local: str, fields: Fields) -> float:
    """Return the base of windowed layers; 0 where these turn as all others do."""
    if _kind(near) != "default":
        raise settings.refusal(key, f"no scaling in {LOCAL} layers", _kind(near))
    types = settings["layer_types"]
    base: float = settings.typed("rope_local_base", local, near.get("rope_theta", settings[local]))
    if local == "rope_theta" and "rope_theta" not in near:
        # Version 5 takes the class's own base here; before, a file had one for all layers.
        if key == "rope_parameters":
            raise settings.refusal(key, f"a rope_theta for {LOCAL}", near)
        if base != settings.defaults[local] and (not isinstance(types, list) or LOCAL in types):
            raise settings.refusal(
                local,
                f"rope_parameters with a rope_theta for {LOCAL} and one for {GLOBAL}, as version "
                f"5 of transformers takes {settings.defaults[local]:g} for the first, and 4 this",
            )
    same = base == fields["rope_base"] and "rope_scaling" not in fields
    return 0.0 if same else base


def _inner(settings: Settings, key: str, value: Any) -> Fields:
    if not isinstance(value, dict | None):
        raise settings.refusal(key, f"objects for {LOCAL} and {GLOBAL}", value)
    return value or {}


def _kind(table: Fields) -> Any:
    return table.get("rope_type", table.get("type", "default"))


def _rotation(
    settings: Settings,
    key: str,
    table: Fields,
    theta: str,
    partial: str | None,
    kinds: Mapping[str, str],
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
    kind = kinds.get(str(_kind(table)))
    if kind is None:
        raise settings.refusal(f"{key}.rope_type", f"one of {', '.join(kinds)}", _kind(table))
    if kind == "none":
        return fields
    if kind == "longrope":
        return fields | _longrope(settings, key, table)
    fields |= {"rope_scaling": kind, "rope_factor": inside("rope_factor", "factor")}
    if kind != "linear":
        fields["rope_original_context"] = _original(settings, key, table)
        for ours, theirs in SCALINGS[kind].items():
            usual = _YARN.get(theirs) if kind == "yarn" else None
            given = table.get(theirs) or usual  # yarn: null and 0 are the usual, as there
            fields[ours] = settings.typed(ours, f"{key}.{theirs}", given)
    if kind == "yarn":
        fields["rope_attention_factor"] = _yarn_attention(settings, key, table, fields)
        fields["rope_truncate"] = inside("rope_truncate", "truncate", True)
    return fields


def _original(settings: Settings, key: str, table: Fields) -> int:
    """Return the context before it was extended.

    Another one beside the table is refused: which of the two counts depends on the class.
    """
    name = "original_max_position_embeddings"
    otherwise = settings[name] or settings["max_position_embeddings"]
    within: int = settings.typed(
        "rope_original_context", f"{key}.{name}", table.get(name, otherwise)
    )
    if settings[name] not in (None, within):
        raise settings.refusal(name, f"the same as {key} has: {within:,}")
    return within


def _longrope(settings: Settings, key: str, table: Fields) -> Fields:
    """Return our fields for the context that is wanted: its factors, and that of queries."""
    most = settings.field("context_length", "max_position_embeddings")
    original = _original(settings, key, table)
    short, long = (_numbers(settings, f"{key}.{n}_factor", table) for n in ("short", "long"))
    fields = longrope_fields(short, long, original, most, settings.context, settings.source)
    slower = table.get("factor")
    if slower is None:
        slower = most / original
    slower = settings.typed("rope_factor", f"{key}.factor", slower)
    usual = math.sqrt(1 + math.log(max(slower, 1)) / math.log(original))
    given = _attention_factor(settings, key, table.get("attention_factor"))
    return fields | {"rope_attention_factor": given or usual}


def _numbers(settings: Settings, key: str, table: Fields) -> list[float]:
    """Return the list of numbers at the last part of `key`."""
    given = table.get(key.rpartition(".")[2])
    if not isinstance(given, list):
        raise settings.refusal(key, "a list of numbers", given)
    return [settings.typed("rope_factor", key, each) for each in given]


def _yarn_attention(settings: Settings, key: str, table: Fields, fields: Fields) -> float:
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
    return _attention_factor(settings, key, given)


def _attention_factor(settings: Settings, key: str, given: Any) -> float:
    """Return what turned queries and keys are multiplied by; 0 where that is not `given`."""
    factor: float = settings.typed("rope_attention_factor", f"{key}.attention_factor", given)
    if given is not None and factor <= 0:
        raise settings.refusal(f"{key}.attention_factor", "above 0", given)
    return factor


def _scaling(config: GPTConfig) -> Fields | None:
    kind = config.rope_scaling
    if kind == "none":
        return None
    if kind == "longrope":  # with one list for both, transformers has it at every length
        factors = list(config.rope_factors)
        return {
            "rope_type": kind,
            "factor": 1.0,
            "attention_factor": config.rope_attention_factor or 1.0,
            "short_factor": factors,
            "long_factor": factors,
            "original_max_position_embeddings": config.context_length,
        }
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
