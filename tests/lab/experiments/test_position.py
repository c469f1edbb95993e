"""Position: the lab's own parts, reading further than trained, what is concluded."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup import GPT, GPTConfig
from groundup.lab.experiment import Cell, Study, Values
from groundup.lab.experiments import position
from groundup.lab.experiments.position import MY_PARTS, SinusoidalPositions
from groundup.lab.measures.repeating import least_loss
from groundup.report.charts import Chart
from tests.lab.results import made, measured, run, toy

SMALL: dict[str, Any] = {
    "vocab_size": 20, "context_length": 8, "emb_dim": 16, "n_heads": 2, "n_layers": 1,
}  # fmt: skip


def study(name: str, scale: float = 1.0) -> Study:
    return next(one for one in position.EXPERIMENT.studies(scale) if one.name == name)


def test_waves_are_those_of_the_paper() -> None:
    added = SinusoidalPositions(GPTConfig(**SMALL))(torch.zeros(1, 8, 16), slice(0, 8))[0]
    for at in range(8):
        for pair in range(8):
            angle = at / 10000 ** (2 * pair / 16)
            assert added[at, pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert added[at, 8 + pair].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_without_positions_one_layer_sees_a_bag_of_tokens() -> None:
    tokens = torch.tensor([[3, 7, 1, 9, 5]])
    mixed = torch.tensor([[9, 1, 3, 7, 5]])
    for name, alike in (("none", True), ("sinusoidal", False), ("learned", False)):
        model = GPT(GPTConfig(**SMALL, position=name), parts=MY_PARTS).eval()
        one, other = (model(row)[0, -1] for row in (tokens, mixed))
        assert torch.allclose(one, other, atol=1e-6) == alike, name


def values(by_arm: dict[str, tuple[float, float, float]]) -> Any:
    """Made-up results: the loss, that at the end of the trained length and that beyond."""

    def of(cell: Cell) -> Values:
        jitter = 0.001 * ((cell.seed * 7 + len(cell.arm)) % 5)
        loss, end, beyond = (number + jitter for number in by_arm[cell.arm])
        read: dict[str, Any] = {"end": end, "by_position": [end] * 8}
        if cell.arm != "learned":
            read |= {"beyond": beyond, "by_position": [end] * 32}
        return run(loss, **read)

    return of


TEXT = {
    "learned": (2.2, 2.2, 0.0),
    "none": (2.4, 2.4, 2.5),
    "sinusoidal": (2.1, 2.1, 3.0),
    "rotary": (2.0, 2.0, 3.0),
}


def test_the_text_comes_out_where_all_parts_do() -> None:
    text = study("text")
    finding = text.conclude(made(text, values(TEXT)))
    assert finding.came_out is True
    assert "sinusoidal +0.90 to +0.90" in finding.verdict
    table = next(table for table in finding.tables if table.title.startswith("Loss at"))
    assert [row[0] for row in table.rows] == ["learned", "none", "sinusoidal", "rotary"]
    assert table.rows[0][2] == "not possible"
    for arm, wrong in {"none": (2.9, 2.9, 2.9), "rotary": (2.0, 2.0, 1.9)}.items():
        other = text.conclude(made(text, values({**TEXT, arm: wrong})))
        assert other.came_out is False, arm


def test_lost_runs_leave_the_rest_of_the_verdict() -> None:
    text, good = study("text"), values(TEXT)

    def of(cell: Cell) -> Values:
        if cell.arm != "rotary":
            return dict(good(cell))
        return {**run(math.inf), "lost": True}

    finding = text.conclude(made(text, of))
    parts = finding.figures["predictions"]
    assert parts["rotary gets worse beyond"] is None
    assert parts["sinusoidal gets worse beyond"] is True


def test_distance_comes_out_where_all_but_none_learn_it() -> None:
    distance, least = study("distance"), least_loss()
    by_arm = {arm.name: (0.8, least + 0.01, 3.0) for arm in distance.arms}
    by_arm["none"] = (2.5, 2.4, 2.7)
    assert distance.conclude(made(distance, values(by_arm))).came_out is True
    by_arm["rotary"] = (2.6, 2.6, 2.7)
    assert distance.conclude(made(distance, values(by_arm))).came_out is False


@pytest.mark.parametrize("name", ["text", "distance"])
def test_toy_trainings_are_read_beyond_their_length(tmp_path: Path, name: str) -> None:
    small = toy(study(name), steps=2, seeds=(1, 2))
    small = replace(small, model={**small.model, "context_length": position.CONTEXT})
    results = measured(small, tmp_path)
    for arm in ("none", "sinusoidal", "rotary"):
        found = results.get(arm)
        assert found is not None
        assert len(found["by_position"]) == 32
        assert found["beyond"] > 0
    learned = results.get("learned")
    assert learned is not None
    assert len(learned["by_position"]) == 8
    assert "beyond" not in learned
    finding = small.conclude(results)
    chart = finding.charts[-1]
    assert isinstance(chart, Chart)
    curves = {s.name: len(s.points) for s in chart.series}
    assert curves["learned"] == 8
    assert curves["rotary"] == 32


def test_every_scale_has_studies_of_different_names() -> None:
    for scale in (1.0, 3.0, 12.0):
        names = [one.name for one in position.EXPERIMENT.studies(scale)]
        assert len(set(names)) == len(names)
