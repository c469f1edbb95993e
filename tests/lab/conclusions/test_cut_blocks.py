"""What single blocks are worth, from made-up figures."""

from __future__ import annotations

import pytest

from groundup.lab.conclusions.cut_blocks import conclude_cuts
from groundup.lab.experiment import Finding
from groundup.lab.experiments.shortcut import SCALED, UNSCALED
from tests.lab.results import made_up


def concluded(rise: float, unscaled: float = 2.5, trains: bool = True) -> Finding:
    cells = {
        arm: [
            {
                "train_loss": loss + (-1) ** seed / 100 * (arm == SCALED),
                "unigram_entropy": 3.3,
                "trains": trains,
                "intact": 2.3,
                "cut": [2.3 + rise, 2.3 + rise, 3.3],
                "swapped": [2.31, 2.31],
            }
            for seed in range(5)
        ]
        for arm, loss in ((SCALED, 2.5), (UNSCALED, unscaled))
    }
    return conclude_cuts(made_up(cells), SCALED)


def test_costs_are_told_in_parts_of_what_was_learnt():
    finding = concluded(0.05)
    assert finding.figures[SCALED] == {"cut": pytest.approx(0.05), "swapped": pytest.approx(0.01)}
    assert finding.came_out
    assert f"{SCALED}: block 3 is missed most, by 1.00 nats a token." in finding.notes


def test_the_prediction_fails_if_blocks_matter_or_the_unscaled_is_better():
    assert not concluded(0.2).came_out
    assert not concluded(0.05, unscaled=2.4).came_out
    assert concluded(0.05, unscaled=2.6).came_out


def test_what_has_learnt_nothing_has_nothing_to_lose():
    finding = concluded(0.05, trains=False)
    assert not finding.came_out
    assert "nothing was learnt" in finding.verdict
    assert finding.figures[SCALED] == {"cut": None, "swapped": None}
