"""From our config to a native class of `transformers`: the first that computes the very same."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from groundup.base.errors import RunError, UsageError, shown
from groundup.config import PRESETS, GPTConfig, preset
from groundup.weights.equivalence import differences
from groundup.weights.hf.families import FAMILIES
from groundup.weights.hf.family import Family
from groundup.weights.hf.settings import Fields


class Native(NamedTuple):
    """A class of `transformers` for a model, and its config there; `config` is it in our words."""

    model_type: str
    family: Family
    values: Fields
    config: GPTConfig
    notices: list[str]


def native_class(config: GPTConfig, family: str | None = None) -> Native:
    """Return the native class for `config`, or refuse with the reason and the nearest preset.

    `family` is the one that the model came from: it goes back to that, unless what its config said
    besides is in the weights now.
    Where only a class with query-key-value biases fits, they are there and must be zero.
    """
    found = _found(config, family)
    if found is None:
        raise _refusal(config)
    return found


def _found(config: GPTConfig, preferred: str | None = None) -> Native | None:
    for candidate in _candidates(config):
        fitting = [name for name, family in FAMILIES.items() if not _differences(family, candidate)]
        if fitting:
            # A window as large as the context is kept where it can be: a longer one may come.
            model_type = min(fitting, key=lambda name: _drops_windows(FAMILIES[name], candidate))
            if preferred in fitting and FAMILIES[preferred].folds is None:
                model_type = preferred
            family = FAMILIES[model_type]
            notices = [
                f"{model_type} has {what}: they are written as 0"
                for field, what in ADDED.items()
                if getattr(candidate, field) != getattr(config, field)
            ]
            return Native(model_type, family, family.write(candidate), candidate, notices)
    return None


ADDED = {
    "qkv_bias": "query, key and value biases",
    "head_bias": "biases of the output head",
}
"""What a model computes the same with, where it is zero."""


def _candidates(config: GPTConfig) -> list[GPTConfig]:
    """Return `config` and what computes the same once its added biases are zero."""
    candidates = [config]
    for field in ADDED:
        candidates += [candidate.replace(**{field: True}) for candidate in candidates]
    return list(dict.fromkeys(candidates))


def _read_back(family: Family, config: GPTConfig) -> GPTConfig:
    """Return the model of `family` that is nearest to `config`, or raise `RunError`."""
    return family.read(family.write(config), Path("config.json"))


def _differences(family: Family, config: GPTConfig) -> Fields:
    """Return the fields that `family` cannot express, with what its nearest model has there."""
    try:
        found = differences(config, _read_back(family, config))
    except RunError as error:
        return {"": str(error)}
    return {name: theirs for name, (_, theirs) in found.items()}


def _drops_windows(family: Family, config: GPTConfig) -> bool:
    back = _read_back(family, config)
    return any(back.window_of(i) != config.window_of(i) for i in range(config.n_layers))


def _refusal(config: GPTConfig) -> UsageError:
    differing = {
        (name, candidate): _differences(family, candidate)
        for candidate in _candidates(config)
        for name, family in FAMILIES.items()
    }
    nearest = sorted(differing, key=lambda key: ("" in differing[key], len(differing[key])))
    near, presets = next(
        (key, found) for key in nearest if (found := _presets_of(FAMILIES[key[0]]))
    )
    reasons = [
        f"{name} = {shown(getattr(config, name))} where it has {shown(theirs)}"
        for name, theirs in differing[near].items()
    ]
    closest = min(presets, key=lambda name: abs(preset(name).emb_dim - config.emb_dim))
    return UsageError(
        f"transformers has no native class for this model: {near[0]}, the nearest, does not go "
        f"with {', '.join(reasons)}; the nearest preset that has one is {closest}; export with "
        "--format safetensors instead"
    )


def _presets_of(family: Family) -> list[str]:
    """Return the presets that a family expresses."""
    return [name for name in PRESETS if not _differences(family, preset(name))]
