"""What two settings or two files have in common, and what tells them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from groundup.lab.experiment import Setting
from groundup.lab.running.code import code_digest
from groundup.lab.running.identity import described, setting_table
from groundup.model import PARTS, FeedForward
from tests.lab import toy


def holds(value: float) -> Callable[[float], float]:
    return lambda x: x + value


class Start:
    def __init__(self, gain: float) -> None:
        self.gain = gain

    def start(self, model: object) -> None: ...


def squashed(by: float) -> type[FeedForward]:
    """A class, defined anew with another body."""
    if by == 1:

        class Squash(FeedForward):
            def forward(self, x: Any) -> Any:
                return super().forward(x) * 1

        return Squash

    class Squash(FeedForward):  # type: ignore[no-redef]
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    return Squash


PAIRS: list[tuple[Any, Any]] = [
    (squashed(1), squashed(2)),
    (1, 2),
    ([1, 2], [2, 1]),
    (lambda x: x + 1, lambda x: x + 2),
    (lambda x: x.a(), lambda x: x.b()),
    (holds(1), holds(2)),
    (partial(holds, 1), partial(holds, 2)),
    (Start(1), Start(2)),
    (Start(1).start, Start(2).start),
    (PARTS.norms["layernorm"], PARTS.norms["rmsnorm"]),
]


@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_what_differs_is_told_apart(pair: int) -> None:
    one, other = PAIRS[pair]
    assert described(one) == described(one)
    assert described(one) != described(other)


def test_the_same_made_twice_is_the_same() -> None:
    assert described(holds(1)) == described(holds(1))
    assert described(Start(1)) == described(Start(1))


def test_a_function_that_holds_itself() -> None:
    def again(n: int) -> int:
        return again(n - 1) if n else 0

    assert described(again) == described(again)


def test_a_set_is_the_same_in_whatever_order_a_process_has_it() -> None:
    def function(members: list[int]) -> FunctionType:
        code = (lambda x: x).__code__.replace(co_consts=(None, frozenset(members)))
        return FunctionType(code, {})

    assert repr(frozenset([0, 8])) != repr(frozenset([8, 0]))
    assert described(function([0, 8])) == described(function([8, 0]))
    assert described(function([0, 8])) != described(function([0, 9]))


def setting() -> Setting:
    study = toy.EXPERIMENT.studies(1)[1]
    return study.setting(study.cells()[0], 65, "story")


def test_of_parts_only_those_that_a_model_names_count() -> None:
    more = replace(PARTS, feed_forwards={**PARTS.feed_forwards, "mine": FeedForward})
    assert setting_table(replace(setting(), parts=more)) == setting_table(setting())
    other = partial(FeedForward, activation=abs)
    changed = replace(PARTS, feed_forwards={**PARTS.feed_forwards, "gelu": other})
    assert setting_table(replace(setting(), parts=changed)) != setting_table(setting())


SOURCE = """
from groundup.lab.measures.training import PLAIN
from groundup.lab.measures.initialisation import first_pass
from groundup.lab.conclusions.words import number

RATE = 1


def measure(setting) -> dict:
    return {"a": RATE}


def conclude(results) -> Finding:
    return Finding(verdict=number(1), came_out=None)


STUDY = Study(name="a", title="One", train=PLAIN, measure=measure, conclude=conclude)
"""
SAME = [
    ("RATE = 1", "RATE = 1  # a note"),
    ("number(1)", "number(2)"),
    ('title="One"', 'title="Two"'),
    (
        "from groundup.lab.conclusions.words import number",
        "from groundup.lab.conclusions.words import plain",
    ),
]
OTHER = [
    ("RATE = 1", "RATE = 2"),
    ("RATE}", "-RATE}"),
    ("train=PLAIN", "train={}"),
    ('"a": RATE', '"a": first_pass'),
]


@pytest.mark.parametrize("change", [*SAME, *OTHER])
def test_a_file_counts_by_what_it_measures(tmp_path: Path, change: tuple[str, str]) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text(SOURCE)
    assert change[0] in SOURCE
    other.write_text(SOURCE.replace(*change))
    assert (code_digest(one) == code_digest(other)) == (change in SAME)


SCRIPT = """
GAIN = 2.0

class Scale:
    def by(self, x):
        return GAIN * x

def helper(x):
    return Scale().by(x) + 1

def squash(x):
    return [helper(one) for one in x]
"""


@pytest.mark.parametrize("change", ["GAIN = 2.0", "GAIN * x", "(x) + 1", "helper(one)"])
def test_a_function_counts_with_what_it_takes_from_its_file(change: str) -> None:
    def squash(source: str) -> Any:
        names: dict[str, Any] = {"__name__": "script"}
        exec(source, names)
        return described(names["squash"])

    assert squash(SCRIPT) == squash(SCRIPT)
    assert squash(SCRIPT) != squash(SCRIPT.replace(change, f"{change} + 1"))
