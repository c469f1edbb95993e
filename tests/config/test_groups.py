"""The groups of settings: each checks its own fields, and `TrainConfig` has the fields of all."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from groundup.base.errors import ConfigError
from groundup.config import (
    Adaptation,
    Compute,
    Keeping,
    Recipe,
    Safeguards,
    TrainConfig,
    as_table,
)

GROUPS = (Recipe, Adaptation, Keeping, Safeguards, Compute)
FIELDS = [(group, field.name) for group in GROUPS for field in dataclasses.fields(group)]
VALUES = (None, True, 0, -1, 1, 3, 0.5, 20.0, math.nan, math.inf, "", "x", "auto", "on")


def answer(cls: type, **values: Any) -> str:
    """Return what becomes of the values: themselves, or the words in which they are refused."""
    try:
        made = cls(**values)
    except ConfigError as error:
        return str(error)
    return repr({name: getattr(made, name) for name in values})


def test_the_fields_of_all_groups_stand_in_one_flat_table() -> None:
    names = [name for _, name in FIELDS]
    assert [field.name for field in dataclasses.fields(TrainConfig)] == names
    apart: dict[str, Any] = {}
    for group in GROUPS:
        apart |= as_table(group())
    assert list(as_table(TrainConfig()).items()) == list(apart.items())


@pytest.mark.parametrize(("group", "name"), FIELDS)
def test_a_group_answers_for_its_fields_as_the_whole_does(group: type, name: str) -> None:
    values = [value for value in VALUES if (name, value) != ("exact_shards", 3)]  # of 8 sequences
    answers = [answer(group, **{name: value}) for value in values]
    assert answers == [answer(TrainConfig, **{name: value}) for value in values]
    assert any(words.startswith(f"{name} = ") for words in answers)


REFUSED: list[tuple[str, Any, str]] = [
    ("1 or more", 0, "lora_rank steps batch_size accumulation stride eval_every eval_tokens "
     "sample_every save_every keep keep_every"),
    ("0 or more", -1, "warmup_steps weight_decay grad_clip balance_loss seed sample_tokens "
     "max_skips threads loss_chunk exact_shards"),
    ("from 0 to below 1", 1.0, "beta1 beta2 muon_momentum"),
    ("above 0, at most 1", 0.0, "decay_share"),
    ("above 0, at most 10", 10.5, "learning_rate muon_learning_rate"),
    ("from 0 to learning_rate = 10", -0.5, "min_learning_rate"),
    ("a positive number", 0.0, "lora_alpha minutes spike_score"),
    ("a positive number of passes", 1e6, "epochs"),
    ("a positive number of seconds", 0.0, "timeout"),
    ("a finite number", math.nan, "minutes epochs learning_rate muon_learning_rate decay_share "
     "min_learning_rate muon_momentum weight_decay beta1 beta2 grad_clip balance_loss spike_score "
     "timeout"),
    ("one of full, lora, dora", "x", "method"),
    ("one of muon, adamw", "x", "optimizer"),
    ("one of linear, cosine, wsd, constant", "x", "schedule"),
    ("one of permutation, random, sliding", "x", "order"),
    ("one of auto, background, foreground", "x", "save"),
    ("one of stop, skip, back", "report", "on_nonfinite"),
    ("one of report, ignore, stop, skip, back", "x", "on_spike"),
    ("one of auto, cpu, cuda, mps", "x", "device"),
    ("one of auto, fp32, bf16", "x", "precision"),
    ("one of auto, on, off", "x", "compile shard checkpoint_activations"),
    ("one of on, off", "auto", "deterministic exact"),
    ("one of auto, keep, release, system", "x", "allocator"),
    ("one of auto, default, onednn", "mkl", "products"),
    ("one of auto, fp32, bf16", "fp16", "muon_precision"),
    ("one of fused, plain", "x", "loss"),
    ("str", 3, "sample_prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "value", "names"), REFUSED)
def test_a_value_out_of_range_is_told_what_was_expected(
    expected: str, value: Any, names: str
) -> None:
    for name in names.split():
        given, _, told = answer(TrainConfig, **{name: value}).partition(": expected ")
        assert (given.split(" = ")[0], told) == (name, expected)


def test_every_field_refuses_something() -> None:
    assert {name for *_, names in REFUSED for name in names.split()} == {n for _, n in FIELDS}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"learning_rate": 0.1, "min_learning_rate": 0.2}, "from 0 to learning_rate = 0.1"),
        ({"min_learning_rate": 11.0}, "from 0 to learning_rate = 10"),
        ({"minutes": 1.0, "epochs": 2.0}, "either epochs or minutes = 1.0, not both"),
        ({"exact": "on", "device": "cuda"}, "cpu with exact = on"),
        ({"exact": "on", "precision": "bf16"}, "fp32 with exact = on"),
        ({"exact": "on", "muon_precision": "bf16"}, "fp32 with exact = on"),
        ({"exact": "on", "shard": "on"}, "off with exact = on"),
        ({"exact": "on", "products": "onednn"}, "default with exact = on"),
        ({"exact_shards": 3, "batch_size": 9}, "a power of two that divides 9 sequences"),
        ({"exact_shards": 4, "batch_size": 6}, "a power of two that divides 6 sequences"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    values: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError, match=f"expected {expected}$"):
        TrainConfig(**values)
