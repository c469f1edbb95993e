"""Steps that must not be taken: what is noticed, what stays as it was, and what is done."""

from __future__ import annotations

import dataclasses
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from groundup.base.errors import RunError, UsageError
from groundup.base.signals import Interrupted
from groundup.config import TrainConfig
from groundup.model import GPT
from groundup.runs import read_lines
from groundup.train import TrainRun, TrainStep, train_run
from groundup.train.health import DivergedError, examine, robust_z
from groundup.train.replay import replay, worst
from tests.train.test_run import assert_same_bits, folder, lines, quiet, request

LOSSES = [2.0 + 0.01 * (i % 7) for i in range(60)]


def poison(monkeypatch: pytest.MonkeyPatch, steps: set[int], scale: float = math.nan) -> list[int]:
    """Multiply the loss of these forward passes (counted from 1) by `scale`; count the passes."""
    genuine, seen = TrainStep.forward, [0]

    def forward(self: TrainStep, tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        seen[0] += 1
        loss_sum, n_targets = genuine(self, tokens, targets)
        return loss_sum * (scale if seen[0] in steps else 1.0), n_targets

    monkeypatch.setattr(TrainStep, "forward", forward)
    return seen


def diverge(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the loss of step 9 is no number."""
    poison(monkeypatch, {9})
    with pytest.raises(DivergedError):
        train_run(request(folder), quiet())
    monkeypatch.undo()


def events(outcome: TrainRun) -> list[tuple[int, str]]:
    found = read_lines(outcome.folder.metrics)
    return [(line["step"], line["event"]) for line in found if "event" in line]


@pytest.mark.parametrize(
    ("loss", "norm", "expected"),
    [
        (2.0, 1.0, None),
        (2.08, 1.0, None),
        (math.nan, 1.0, "the loss is not finite"),
        (math.inf, 1.0, "the loss is not finite"),
        (2.0, math.inf, "the gradient is not finite"),
        (3.5, 1.0, "the loss leapt to 3.5"),
        (0.1, 1.0, None),
    ],
)
def test_what_is_wrong_with_a_step(loss: float, norm: float, expected: str | None) -> None:
    trouble = examine(loss, norm, LOSSES, TrainConfig())
    assert (trouble is None) if expected is None else (trouble and expected in trouble.text)


def test_a_leap_is_judged_by_the_median_and_told_once() -> None:
    assert robust_z(9.0, LOSSES[:49]) == 0.0, "too few to judge by"
    assert robust_z(9.0, LOSSES) > 100
    assert robust_z(9.0, [*LOSSES, 1e9]) == pytest.approx(robust_z(9.0, LOSSES), rel=0.5)
    assert robust_z(2.0001, [2.0] * 60) < 1, "equal losses do not make every change a leap"
    assert examine(9.0, 1.0, [*LOSSES, 9.0], TrainConfig()) is None
    assert examine(9.0, 1.0, LOSSES, TrainConfig(on_spike="ignore")) is None
    assert examine(math.nan, 1.0, LOSSES, TrainConfig(on_spike="ignore")) is not None


def test_weights_stay_bit_for_bit_and_the_batch_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[dict[str, Tensor]] = []
    genuine = GPT.hidden_states

    def spy(self: GPT, *given: Any) -> Tensor:
        if self.training:
            before.append({name: p.detach().clone() for name, p in self.named_parameters()})
        return genuine(self, *given)

    monkeypatch.setattr(GPT, "hidden_states", spy)
    poison(monkeypatch, {9})
    with pytest.raises(DivergedError, match="step 9: the loss is not finite") as caught:
        train_run(request(tmp_path), quiet())
    assert caught.value.exit_status == 4
    kept = tmp_path / "runs/story-pico/replay/step-00000009"
    assert {path.name for path in kept.iterdir()} == {
        "model.safetensors", "batch.safetensors", "why.json", "manifest.json"
    }  # fmt: skip
    monkeypatch.undo()
    found = replay(tmp_path / "runs/story-pico")
    assert found.step == 9
    assert found.tokens.shape == (4, 16)
    assert all(map(math.isfinite, found.losses + found.norms)), "the batch itself is harmless"
    assert found.first is None
    weights = load_file(kept / "model.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in before[8].items())


def test_a_replay_names_the_layer_and_the_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge(tmp_path, monkeypatch)
    run = tmp_path / "runs/story-pico"
    tokens = replay(run).tokens
    genuine = GPT.hidden_states

    def break_one(self: GPT, given: Tensor, *more: Any) -> Tensor:
        self.get_parameter("blocks.1.ffn.down.weight").data[0, 0] = (
            math.inf if torch.equal(given[0], tokens[2]) else 0.0
        )
        return genuine(self, given, *more)

    monkeypatch.setattr(GPT, "hidden_states", break_one)
    found = replay(run)
    assert found.first == "blocks.1.ffn.down"
    assert worst(found, 1) == [2]
    with pytest.raises(UsageError, match="kept the batches of 9"):
        replay(run, step=3)
    (run / "replay/step-00000009/batch.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"batch.safetensors has 7 bytes"):
        replay(run)


def test_a_replay_computes_the_loss_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experts = {"n_experts": 4, "n_active_experts": 2, "ffn_dim": 16}
    poison(monkeypatch, {9})
    asked = request(tmp_path, balance_loss=5.0)
    asked = dataclasses.replace(asked, model_changes=asked.model_changes | experts)
    with pytest.raises(DivergedError):
        train_run(asked, quiet())
    monkeypatch.undo()
    balanced = replay(asked.folder.path)
    manifest = asked.folder.read()
    plain = {**(manifest.train or {}), "balance_loss": 0.0}
    asked.folder.write(dataclasses.replace(manifest, train=plain))
    for one, other in zip(balanced.losses, replay(asked.folder.path).losses, strict=True):
        assert one - other > 5 * 2 * 0.99, "5 times what is 2 where two of four are equally busy"


def test_a_run_without_trouble_has_nothing_to_replay(tmp_path: Path) -> None:
    outcome = train_run(request(tmp_path, steps=2), quiet())
    with pytest.raises(UsageError, match="kept no batch"):
        replay(outcome.folder.path)


def test_steps_are_skipped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {5, 9})
    outcome = train_run(request(tmp_path, on_nonfinite="skip"), quiet())
    assert outcome.progress.finished
    assert outcome.progress.skipped == 2
    assert events(outcome)[:2] == [(5, "skipped"), (9, "skipped")]
    losses = [line["train_loss"] for line in lines(outcome) if "train_loss" in line]
    assert len(losses) == 24
    assert losses[4] == losses[8] == "nan", "a step that was not taken has no loss"


def test_too_many_skips_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, set(range(5, 99)))
    with pytest.raises(DivergedError, match="step 8"):
        train_run(request(tmp_path, on_nonfinite="skip", max_skips=3), quiet())
    kept = sorted(path.name for path in (tmp_path / "runs/story-pico/replay").iterdir())
    assert kept == ["step-00000006", "step-00000007", "step-00000008"], "the latest three"


def test_a_run_goes_back_with_smaller_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {9})
    outcome = train_run(request(tmp_path, on_nonfinite="back"), quiet())
    assert outcome.progress.finished
    assert (outcome.progress.went_back, outcome.progress.rate_scale) == (1, 0.5)
    assert events(outcome)[0] == (9, "went back")
    steps = [line["step"] for line in lines(outcome) if "train_loss" in line]
    assert steps == list(range(1, 25)), "no gap and no double line"
    rates = {line["step"]: line["lr"] for line in lines(outcome) if "lr" in line}
    monkeypatch.undo()
    plain = train_run(request(folder(tmp_path, "b")), quiet())
    others = {line["step"]: line["lr"] for line in lines(plain) if "lr" in line}
    assert rates[6] == others[6]
    assert rates[7] == others[7] / 2


def test_a_run_that_always_goes_back_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, set(range(9, 999)))
    with pytest.raises(DivergedError):
        train_run(request(tmp_path, on_nonfinite="back"), quiet())


def test_without_a_checkpoint_there_is_no_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {3})
    with pytest.raises(DivergedError, match="step 3"):
        train_run(request(tmp_path, on_nonfinite="back"), quiet())


@pytest.mark.parametrize("policy", ["report", "skip", "stop"])
def test_a_leap_of_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    poison(monkeypatch, {61}, scale=3.0)
    settings = {"steps": 70, "on_spike": policy, "eval_every": 30}
    if policy == "stop":
        with pytest.raises(DivergedError, match="step 61: the loss leapt"):
            train_run(request(tmp_path, **settings), quiet())
        return
    outcome = train_run(request(tmp_path, **settings), quiet())
    event = {"report": "reported", "skip": "skipped"}[policy]
    assert events(outcome)[0] == (61, event)
    assert outcome.progress.skipped == (policy == "skip")


def test_how_trouble_is_met_may_change_when_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge(tmp_path, monkeypatch)
    poison(monkeypatch, {3})  # step 9 again, as the last checkpoint is of step 6
    outcome = train_run(request(tmp_path, on_nonfinite="skip"), quiet())
    assert outcome.progress.finished
    assert outcome.progress.skipped == 1
    assert outcome.folder.read().as_table()["train"]["on_nonfinite"] == "skip"


def test_skipping_repeats_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {9})
    whole = train_run(request(folder(tmp_path, "a"), on_nonfinite="skip"), quiet())
    monkeypatch.undo()
    parts = folder(tmp_path, "b")
    seen = poison(monkeypatch, {9})

    class KilledError(Exception):
        pass

    genuine = TrainStep.forward

    def kill(self: TrainStep, **given: Tensor) -> tuple[Tensor, Tensor]:
        if seen[0] == 10:
            raise KilledError
        return genuine(self, **given)

    monkeypatch.setattr(TrainStep, "forward", kill)
    with pytest.raises(KilledError):
        train_run(request(parts, on_nonfinite="skip"), quiet())
    monkeypatch.undo()
    poison(monkeypatch, {3})
    resumed = train_run(request(parts, on_nonfinite="skip"), quiet())
    assert_same_bits(whole, resumed)
    assert lines(whole) == lines(resumed)


def test_a_signal_wins_over_what_it_does_to_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("the compiler was stopped")

    monkeypatch.setattr(TrainStep, "forward", forward)
    with pytest.raises(Interrupted):
        train_run(request(tmp_path), quiet())
