"""The GPU benchmark keeps what was measured, whoever fails."""

from __future__ import annotations

import math
import time

import pytest
import torch

pytest.importorskip("benchmarks", reason="the checkout's root is not on the path")
from benchmarks.gpu import Part, Training


def broken() -> float:
    raise RuntimeError("no kernel image")


def test_whoever_fails_is_a_line_beside_the_others_figures() -> None:
    part, kept = Part("task", lambda seconds: 1 / seconds, limit=4.0), []
    part.contestants = {"groundup": lambda: 0.5, "broken": broken, "peer": lambda: 1.0}
    for _ in range(2):
        part.round(math.inf, lambda: kept.append(part.record()))
    result = kept[-1]
    assert result["missing"] == {"broken": "failed: RuntimeError"}
    assert list(result["summary"]) == ["groundup", "peer"]
    assert result["summary"]["groundup"]["fraction_of_limit"] == 0.5
    assert result["summary"]["peer"]["our_speed_ratio"]["median"] == 2.0
    assert [len(speeds) for speeds in result["speeds"].values()] == [2, 0, 2]


def test_the_others_figures_stand_where_ours_fails_and_late_ones_say_so() -> None:
    part = Part("task", lambda seconds: 1 / seconds, limit=4.0)
    part.contestants = {"groundup": broken, "peer": lambda: 1.0}
    part.round(math.inf, part.record)
    assert list(part.record()["summary"]) == ["peer"]
    late = Part("task", lambda seconds: 1 / seconds, limit=4.0)
    late.contestants = {"groundup": lambda: 0.5}
    late.round(time.perf_counter() - 1, late.record)
    assert late.record()["missing"] == {"groundup": "not measured: the time was up"}


def test_as_many_sequences_at_once_as_fit() -> None:
    def train(at_once: int) -> list[float]:
        if at_once > 8:
            raise torch.OutOfMemoryError
        return [1.0]

    training = Training(train, 32)
    assert training() == [1.0]
    assert training.at_once == 8
