from __future__ import annotations

import math
from pathlib import Path

import pytest

from groundup.base.errors import DataError
from groundup.lab.experiment import Cell, Values
from groundup.lab.experiments.data import DECAY, EXPERIMENT, PASSES, law, worth
from tests.lab.results import losses, made, measured, run, toy

STUDY = EXPERIMENT.studies(EXPERIMENT.least)[0]
COST = {"new text": 0, "2 passes": 0, "4 passes": 0.01, "8 passes": 0.03, "16 passes": 0.1,
        "32 passes": 0.2, "64 passes": 0.4}  # fmt: skip


def by_cost(cost: dict[str, float]) -> dict[str, float]:
    return {name: 2 + more for name, more in cost.items()}


def test_up_to_four_passes_as_good() -> None:
    finding = STUDY.conclude(made(STUDY, losses(by_cost(COST))))
    assert finding.came_out is True
    assert finding.verdict.startswith("Up to 8 passes ended within 0.05 nats")


@pytest.mark.parametrize("other", [{"4 passes": 0.1}, {"64 passes": 0.0}])
def test_it_does_not_come_out(other: dict[str, float]) -> None:
    assert STUDY.conclude(made(STUDY, losses(by_cost(COST | other)))).came_out is False


def test_a_gap_ends_the_passes_that_are_as_good() -> None:
    finding = STUDY.conclude(made(STUDY, losses(by_cost(COST | {"2 passes": 0.1}))))
    assert finding.verdict.startswith("Not even 2 passes")


def test_text_that_is_repeated_is_worth_less_and_less() -> None:
    assert worth(1) == 1
    assert worth(4) == pytest.approx((1 + DECAY * (1 - math.exp(-3 / DECAY))) / 4)
    assert 0.9 < worth(4) < 1
    assert 64 * worth(64) == pytest.approx(1 + DECAY, rel=0.02)


def test_the_law_reads_the_curve_of_new_text() -> None:
    """Curves that fall in a straight line: a share of the text loses that share of the fall."""

    def values(cell: Cell) -> Values:
        return run(2.0, start=4.0, n=1000)

    told = law(made(STUDY, values))
    assert list(told) == list(PASSES)
    for name, n in PASSES.items():
        assert told[name] == pytest.approx(0.95 * 2 * (1 - worth(n)), abs=0.01)


def test_it_runs_on_parts_of_the_text(tmp_path: Path) -> None:
    study = toy(STUDY, steps=150, seeds=(1,), arms=[STUDY.arms[0], STUDY.arms[-2]])
    results = measured(study, tmp_path)
    again, new = (results.numbers("train_loss", arm) for arm in ("32 passes", "new text"))
    assert all(a < b for a, b in zip(again, new, strict=True))


def test_a_text_that_is_too_short_is_refused(tmp_path: Path) -> None:
    study = toy(STUDY, steps=30_000, seeds=(1,), arms=STUDY.arms[:1])
    with pytest.raises(DataError, match="give a longer text"):
        measured(study, tmp_path)


def test_more_time_is_more_seeds_then_a_wider_model() -> None:
    sizes = [
        (len(study.seeds), study.model["emb_dim"])
        for scale in (1, 2.5, 5, 7, 14)
        for study in EXPERIMENT.studies(scale)
    ]
    assert sizes == [(5, 64), (5, 64), (10, 64), (5, 128), (10, 128)]
