"""`groundup replay`: a batch that stopped a run is looked into."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from groundup.optim.step import TrainStep
from tests.cli.conftest import TRAIN, Groundup


def test_a_stopped_run_is_looked_into(
    groundup: Groundup, story: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, passes = TrainStep.forward, [0]

    def forward(self: TrainStep, *given: object, **named: object) -> object:
        passes[0] += 1
        loss_sum, n_targets = genuine(self, *given, **named)  # type: ignore[arg-type]
        return loss_sum * (math.nan if passes[0] == 5 else 1.0), n_targets

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "forward", forward)
        stopped = groundup(*TRAIN, story, "--steps", 12)
    assert stopped.status == 4
    assert "step 5: the loss is not finite" in stopped.error
    assert "groundup replay" in stopped.error
    told = groundup("replay", "runs/story-pico")
    assert told.status == 0
    assert told.out.startswith("Step 5: the loss is not finite\nNumbers break nowhere")
    assert "gradient norm" in told.out
    values = json.loads(groundup("replay", "runs/story-pico", "--json").out)
    assert values["step"] == 5
    assert len(values["losses"]) == len(values["norms"]) == len(values["tokens"]) == 4
    assert groundup("replay", "runs/story-pico", "--step", 3).status == 2

    went_on = groundup(*TRAIN, story, "--steps", 12, "--set", "on_nonfinite=skip")
    assert went_on.status == 0
    assert "not finite" not in went_on.err
