"""What a study does, in words: its arms, what is held equal, how its models are trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from groundup.base.words import counted
from groundup.lab.conclusions.words import at_x
from groundup.lab.experiment import TRAINED, Arm, Cell, Setting, Study
from groundup.optim.schedule import warmup_steps

MOST_LISTED = 12
"""Values of what is swept that are listed one by one."""

OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon"}
RATES = {
    "constant": "a fixed rate",
    "linear": "a rate falling in a line",
    "cosine": "a rate falling as a cosine",
    "wsd": "a rate falling at the end",
}


def facts(study: Study) -> list[tuple[str, str]]:
    """Return what a study compares and how, as (what, words)."""
    told = [("evidence", study.kind), ("arms", "; ".join(arm.name for arm in study.arms))]
    if len(study.xs) > 1:
        told.append((study.x_name, _values(study.xs)))
    told += [
        ("seeds", counted(len(study.seeds), "seed") + " for each arm"),
        ("held equal", study.equal),
        ("measured", study.measured),
    ]
    own = {key for arm in study.arms for key in study.at(arm, study.xs[0]).model}
    if common := {key: value for key, value in study.model.items() if key not in own}:
        told.append(("model", _settings(common)))
    if study.kind == TRAINED:
        told.append(("training", training_words(_settings_of(study))))
    return told


def _settings_of(study: Study) -> list[Setting]:
    """Return the settings of all arms at all values, with the first seed and no text."""
    return [
        study.setting(Cell(study.name, arm.name, x, study.seeds[0]), vocab_size=2, text="")
        for x in study.xs
        for arm in study.arms
    ]


def training_words(settings: Sequence[Setting]) -> str:
    """Return how models are trained, in words; several values where arms differ in them."""
    trains = [setting.train for setting in settings]
    optimizers = _distinct(OPTIMIZERS[train.optimizer] for train in trains)
    rates = _numbers([train.peak_learning_rate(s.config.emb_dim)
                     for train, s in zip(trains, settings, strict=True)])  # fmt: skip
    kinds = _distinct(RATES[train.schedule] for train in trains)
    warm = _numbers([warmup_steps(train) for train in trains])
    rising = "" if warm == "0" else f" after {warm} steps of warm-up"
    steps = _numbers([train.steps for train in trains])
    batches = _numbers([train.sequences_per_step for train in trains])
    lengths = _numbers([setting.config.context_length for setting in settings])
    decay = _numbers([train.weight_decay for train in trains])
    clip = _numbers([train.grad_clip for train in trains])
    return (
        f"{optimizers} at {kinds} of {rates}{rising}; {steps} steps of {batches} sequences "
        f"of {lengths} tokens; weight decay {decay}; gradients no longer than {clip}"
    )


def _distinct(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _numbers(values: Iterable[float]) -> str:
    """Return distinct numbers as a list, or the first and the last of many."""
    return _values(list(dict.fromkeys(values)))


def arm_words(arm: Arm) -> str:
    """Return how an arm differs from what all have in common."""
    parts = [_settings({**arm.model, **arm.train, **arm.options})]
    if arm.start is not _UNCHANGED:
        parts.append(f"starts by {_name(arm.start)}")
    return "; ".join(filter(None, parts)) or "as all have it in common"


_UNCHANGED = next(f for f in dataclasses.fields(Arm) if f.name == "start").default


def _name(start: Any) -> str:
    return getattr(start, "__name__", None) or repr(start)


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _values(xs: Sequence[float]) -> str:
    if len(xs) > MOST_LISTED:
        return f"{at_x(min(xs))} to {at_x(max(xs))}, {len(xs)} values"
    return ", ".join(map(at_x, xs))
