"""From our config to a native class of `transformers`: the first that computes the very same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from groundup.base.errors import RunError, UsageError, shown
from groundup.config import PRESETS, GPTConfig, preset
from groundup.weights.hf.aspects import period
from groundup.weights.hf.families import FAMILIES
from groundup.weights.hf.family import Family
from groundup.weights.hf.settings import Fields

_SCALING = ("rope_factor", "rope_low_freq_factor", "rope_high_freq_factor", "rope_original_context")
_ROPE = ("rope_base", "rope_local_base", "rope_scaling", *_SCALING)


class Native(NamedTuple):
    """A class of `transformers` for a model, and its config there; `config` is it in our words."""

    model_type: str
    family: Family
    values: Fields
    config: GPTConfig
    notices: list[str]


def native_class(config: GPTConfig) -> Native:
    """Return the native class for `config`, or refuse with the reason and the nearest preset.

    Where only a class with query-key-value biases fits, they are there and must be zero.
    """
    found = _found(config)
    if found is None:
        raise _refusal(config)
    return found


def _found(config: GPTConfig) -> Native | None:
    for candidate in _candidates(config):
        for model_type, family in FAMILIES.items():
            if not _differences(family, candidate):
                added = candidate.qkv_bias and not config.qkv_bias
                notice = f"{model_type} has query, key and value biases: they are written as 0"
                values = family.write(candidate)
                return Native(model_type, family, values, candidate, [notice] if added else [])
    return None


def _candidates(config: GPTConfig) -> tuple[GPTConfig, GPTConfig]:
    """Return `config` and what computes the same once its added biases are zero."""
    return config, config.replace(qkv_bias=True)


def essence(config: GPTConfig) -> GPTConfig:
    """Return `config` with every field at its default that has no say in what is computed."""
    moot: list[str] = ["drop_rate", "attention_drop_rate"]
    changes: Fields = {}
    letters = "".join("G" if config.window_of(i) is None else "L" for i in range(config.n_layers))
    if "L" in letters:
        changes["window_pattern"] = period(letters)
    else:
        moot += ["window", "window_pattern", "rope_local_base"]
    if config.position == "learned":
        moot += _ROPE
    elif config.rope_scaling == "none":
        moot += _SCALING
        moot += ["rope_local_base"] if config.rope_local_base == config.rope_base else []
    elif config.rope_scaling == "linear":
        moot += _SCALING[1:]
    if config.query_pre_attn_scalar == config.head_dim:
        moot += ["query_pre_attn_scalar"]
    defaults = {field.name: field.default for field in dataclasses.fields(GPTConfig)}
    return config.replace(**changes, **{name: defaults[name] for name in moot})


def _differences(family: Family, config: GPTConfig) -> Fields:
    """Return the fields that `family` cannot express, with what its nearest model has there."""
    try:
        nearest = family.read(family.write(config), Path("config.json"))
    except RunError as error:
        return {"": str(error)}
    wanted, found = vars(essence(config)), vars(essence(nearest))
    return {name: found[name] for name in wanted if wanted[name] != found[name]}


def _refusal(config: GPTConfig) -> UsageError:
    differing = {
        (name, candidate): _differences(family, candidate)
        for candidate in _candidates(config)
        for name, family in FAMILIES.items()
    }
    near = min(differing, key=lambda key: ("" in differing[key], len(differing[key])))
    reasons = [
        f"{name} = {shown(getattr(config, name))} where it has {shown(theirs)}"
        for name, theirs in differing[near].items()
    ]
    known = {name: _found(preset(name)) for name in PRESETS}
    presets = [name for name, native in known.items() if native and native.model_type == near[0]]
    closest = min(presets, key=lambda name: abs(preset(name).emb_dim - config.emb_dim))
    return UsageError(
        f"transformers has no native class for this model: {near[0]}, the nearest, does not go "
        f"with {', '.join(reasons)}; the nearest preset that has one is {closest}; export with "
        "--format safetensors instead"
    )
