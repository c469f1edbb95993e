"""The loop knows no job: what a validation reports is the job's own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from traceback import walk_stack
from typing import Any

import pytest
from torch import Tensor

from groundup.base.signals import Requests
from groundup.data import IGNORED
from tests.processes.masked import MaskedRows, masked_trainer


class Accuracy:
    """What a classifier may report."""

    def __init__(self, loss: float) -> None:
        self.loss, self.tokens = loss, 40

    def figures(self) -> dict[str, float]:
        return {"val_loss": self.loss, "val_accuracy": 1 - self.loss}


def test_a_validation_may_report_other_figures() -> None:
    trainer, told = masked_trainer({1}, eval_every=2)
    losses = iter([0.9, 0.5, 0.4, 0.6, 0.3])
    asked: list[int | None] = []

    def evaluate(most: int | None, last: bool, between: object) -> Accuracy:
        asked.append(most)
        return Accuracy(next(losses))

    trainer.records.evaluate = evaluate
    progress = trainer.fit(Requests())
    found = [line for line in told.records if "val_loss" in line]
    assert [line["val_accuracy"] for line in found] == [1 - x for x in (0.9, 0.5, 0.4, 0.6, 0.3)]
    assert [line["step"] for line in found] == [0, 2, 4, 6, 6]
    assert [line.get("val_tokens") for line in found] == [None] * 4 + [40]
    assert found[-1]["event"] == "finished"
    assert progress.best_val_loss == 0.4
    assert asked[-1] is None
    assert None not in asked[:-1]


def test_the_rows_of_the_test_are_a_function_of_their_number() -> None:
    rows = MaskedRows({1})
    whole, part = rows.rows(0, 16), rows.rows(5, 4)
    for name, array in part.arrays.items():
        assert (whole.arrays[name][5:9] == array).all()
    assert (whole.arrays["targets"][8:] == IGNORED).all()


def test_the_way_to_the_backward_pass_is_the_one_on_the_map(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer, _ = masked_trainer(set(), steps=1)
    page = (Path(__file__).parents[2] / "docs/architecture.md").read_text()
    listed = re.findall(r"^\| `(\w+\.\w+)` \| `train/", page, re.MULTILINE)
    met: list[str] = []
    backward = Tensor.backward

    def noted(self: Tensor, *given: Any, **named: Any) -> None:
        met[:] = [
            frame.f_code.co_qualname for frame, _ in walk_stack(sys._getframe()) if is_ours(frame)
        ]
        backward(self, *given, **named)

    def is_ours(frame: Any) -> bool:
        return "groundup/train" in Path(frame.f_code.co_filename).as_posix()

    monkeypatch.setattr(Tensor, "backward", noted)
    trainer.fit(Requests())
    assert listed == met[::-1] == ["Trainer.fit", "Trainer.take_step", "Learner.gradient"]
