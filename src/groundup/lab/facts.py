"""What a study does, in words: its arms, what is held equal, how its models are trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.base.words import counted
from groundup.config import GPTConfig, TrainConfig
from groundup.lab.experiment import TRAINED, Arm, Study
from groundup.lab.words import at_x
from groundup.optim.schedule import warmup_steps

MOST_LISTED = 12
"""Values of what is swept that are listed one by one."""
OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon and AdamW"}


def facts(study: Study) -> list[tuple[str, str]]:
    """Return what a study compares and how, as (what, words)."""
    told = [("evidence", study.kind), ("arms", ", ".join(arm.name for arm in study.arms))]
    if len(study.xs) > 1:
        told.append((study.x_name, _values(study.xs)))
    told += [
        ("seeds", counted(len(study.seeds), "seed") + " for each arm"),
        ("held equal", study.equal),
        ("measured", study.measured),
    ]
    if study.model:
        told.append(("model", _settings(study.model)))
    if study.kind == TRAINED:
        told.append(("training", training_words(study)))
    return told


def training_words(study: Study) -> str:
    """Return how the models of a study are trained, and what of that is an arm's own."""
    config = TrainConfig(**study.train)
    own = {key for arm in study.arms for key in study.at(arm, study.xs[0]).train}
    rate = "a rate that follows from the width"
    if config.learning_rate is not None:
        rate = f"a rate of {config.learning_rate:g}"
    if "learning_rate" in own:
        rate = "a rate of its own"
    warm = warmup_steps(config)
    schedule = "fixed" if config.schedule == "constant" else config.schedule
    after = f" after {counted(warm, 'step')} of warm-up" if warm else ""
    first = study.at(study.arms[0], study.xs[0])
    context = {**study.model, **first.model}.get("context_length", GPTConfig.context_length)
    differs = ", ".join(sorted(own - {"learning_rate"}))
    return (
        f"{OPTIMIZERS[config.optimizer]} at {rate}, {schedule}{after}; "
        f"{counted(config.steps, 'step')} of {config.batch_size} sequences of {context} tokens"
        f"{f'; an arm has its own {differs}' if differs else ''}"
    )


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
