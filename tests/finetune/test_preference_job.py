"""Learning preferences: it begins at ln 2, stops, goes on, and tells how far it went."""

from __future__ import annotations

import json
import math
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from groundup import load
from groundup.base.errors import RunError, UsageError
from groundup.finetune.assistant.choose import assistant_run
from groundup.finetune.assistant.request import recorded_instruct
from groundup.finetune.preferences.rows import Pair, PreferenceRows, reference_log_probs
from groundup.finetune.preferences.run import DPO_SLOWER, PreferenceRun
from groundup.finetune.preferences.step import PreferenceStep
from groundup.finetune.replay import JOBS
from groundup.finetune.replies.run import InstructRun
from groundup.plan import plan_rows, training_memory
from groundup.plan.plan import remedies
from groundup.runs import RunFolder
from groundup.runs.assistant import read_assistant
from groundup.train import Recorder, drive
from groundup.train.choices import Choices
from groundup.train.health import DivergedError
from groundup.train.listener import Screen
from groundup.train.replay import replay, worst
from tests.finetune.asking import Told
from tests.finetune.making_pairs import made, request, train, with_base, with_pairs
from tests.finetune.test_preference_step import plain_log_probs
from tests.processes import starting
from tests.train.test_second_job import assert_same_bits, kept


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_pairs(with_base(tmp_path))


def job_of(run: Path, **settings: Any) -> PreferenceRun:
    job = made(run, **settings)
    assert isinstance(job, PreferenceRun)
    return job


def begun(job: PreferenceRun, **changes: Any) -> tuple[PreferenceStep, PreferenceRows, Choices]:
    """Return step and source as the driver makes them."""
    choices = Choices(replace(job.settings, loss_chunk=0, **changes), {})
    step = job.step(job.model(1), choices)
    return step, job.source(choices.config), choices


def tensors(arrays: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize("method", ["full", "lora", "dora"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_begins_at_log_2_without_dropout(folder: Path, method: str, precision: str) -> None:
    job = job_of(folder / "run", method=method, precision=precision)
    assert (job.config.drop_rate, job.config.attention_dropout) == (0, 0)
    step, source, choices = begun(job)
    step.train()
    for first in range(0, 12, 4):
        with choices.step_context(copied=False):
            loss, n = step(**tensors(dict(source.rows(first, 4).arrays)))
        assert abs(loss.item() / int(n) - math.log(2)) < 1e-6


def test_its_loss_is_the_formula_s_of_all_logits(folder: Path) -> None:
    job = job_of(folder / "run", beta=0.3)
    step, source, _ = begun(job)
    reference = load(folder / "base").model.double()
    model = step.model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    arrays = tensors(dict(source.rows(0, 4).arrays))
    rows = arrays["tokens"].flatten(0, 1), arrays["targets"].flatten(0, 1)
    (pi_c, pi_r), (ref_c, ref_r) = (
        plain_log_probs(gpt.eval(), *rows).view(-1, 2).T for gpt in (model, reference)
    )
    expected = torch.log1p(torch.exp(-0.3 * ((pi_c - pi_r) - (ref_c - ref_r))))
    loss, n = step(**arrays)
    assert int(n) == 4
    torch.testing.assert_close(loss, expected.sum(), rtol=1e-5, atol=0)
    assert not torch.allclose(expected, torch.full_like(expected, math.log(2)), atol=0.01)


def test_one_backward_a_micro_batch_gives_the_gradient_of_the_whole_batch(folder: Path) -> None:
    """The head is tied, and its gradient joined with that of the embedding in each pass."""
    job = job_of(folder / "run")
    step, source, _ = begun(job)
    with torch.no_grad():  # away from log 2, where all pairs weigh alike
        for parameter in step.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    arrays = tensors(dict(source.rows(0, 12).arrays))

    def of_parts(size: int) -> dict[str, Tensor]:
        step.model.zero_grad()
        for first in range(0, 12, size):
            loss, _ = step(**{name: a[first : first + size] for name, a in arrays.items()})
            loss.backward()
        return {
            name: p.grad / 12 for name, p in step.model.named_parameters() if p.grad is not None
        }

    whole, parts = of_parts(12), of_parts(2)
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        assert (parts[name] - gradient).abs().max() <= 1e-5 * largest, name


def test_it_learns_which_reply_is_chosen_and_tells_how(folder: Path) -> None:
    run = train(folder / "run", steps=60, eval_every=20).folder
    found = [x for x in starting.lines(run) if "val_loss" in x]
    first, last = found[0], found[-1]
    assert abs(first["val_loss"] - math.log(2)) < 1e-6
    assert abs(first["val_margin"]) < 1e-5
    assert last["val_pair_accuracy"] == 1
    assert last["val_loss"] < 0.5
    assert last["val_margin"] == pytest.approx(
        0.1 * (last["val_chosen_drift"] - last["val_rejected_drift"])
    )
    assert last["val_length_drift"] == 0  # each preferred one is the chosen one
    job = run.read().job
    assert job is not None
    assert job.settings is not None
    assert (job.settings["objective"], job.settings["beta"]) == ("dpo", 0.1)
    assert (run.path / "samples.jsonl").read_text().count("Say ") > 1
    assert "guessing is 0.6931" in run.report.read_text()


def test_the_last_validation_is_what_the_saved_model_says(folder: Path) -> None:
    run = train(folder / "run", steps=8).folder
    last = next(x for x in starting.lines(run) if x.get("event") == "finished")
    job = job_of(folder / "other")
    pairs = job.validating.pairs
    drifts = difference(folder, pairs)
    assert last["val_chosen_drift"] == pytest.approx(drifts[:, 0].mean(), abs=1e-4)
    assert last["val_rejected_drift"] == pytest.approx(drifts[:, 1].mean(), abs=1e-4)


def difference(folder: Path, pairs: list[Pair]) -> Any:
    now, before = (
        reference_log_probs(load(folder / name, "latest").model, pairs) for name in ("run", "base")
    )
    return now - before


def test_orpo_needs_no_reference_and_learns_the_chosen_replies(folder: Path) -> None:
    told = Told()
    run = train(folder / "run", told, objective="orpo", steps=40, eval_every=20).folder
    found = [x for x in starting.lines(run) if "val_loss" in x]
    assert found[-1]["val_loss"] < found[0]["val_loss"]
    assert "val_chosen_drift" not in found[-1]
    assert not [line for line in told.lines if line.startswith("Reference")]
    assert difference(folder, job_of(folder / "other").validating.pairs)[:, 0].mean() > 0


@pytest.mark.parametrize(("method", "objective"), [("full", "dpo"), ("lora", "auto")])
def test_it_is_killed_and_goes_on_bit_for_bit(folder: Path, method: str, objective: str) -> None:
    steps, run = 150, RunFolder(folder / "run")
    words = [str(run.path), method, str(steps), objective]
    process = starting.Training(folder, words, module="tests.finetune.making_pairs")
    process.wait_for(lambda: len(list(run.checkpoints.glob("step-*"))) > 1)
    process.kill()
    assert process.ranks[0].returncode == -signal.SIGKILL
    if run.report.exists():
        pytest.fail("it was not killed in time")
    for name in ("run", "whole"):
        train(folder / name, method=method, steps=steps, objective=objective)
    assert_same_bits(run.path, folder / "whole")
    assert starting.lines(run) == starting.lines(RunFolder(folder / "whole"))
    learnt, base = kept(run.path), load(folder / "base").model.state_dict()
    own = {name for name in learnt if ":" not in name}
    assert (own & base.keys() == set()) == (method == "lora")


@pytest.mark.parametrize("method", ["full", "dora"])
def test_the_reference_of_a_run_that_goes_on_has_the_same_bits(folder: Path, method: str) -> None:
    job = job_of(folder / "run", method=method)
    _, source, _ = begun(job)
    again = job_of(folder / "run", method=method)
    choices = Choices(replace(job.settings, loss_chunk=0), {})
    skeleton = again.skeleton()
    if method == "full":  # whatever stands there before it is filled
        torch.nn.init.ones_(skeleton.get_parameter("final_norm.weight"))
    again.step(skeleton, choices)
    read = again.source(choices.config).reference
    assert np.array_equal(read, source.reference)
    assert read.any()


def test_what_is_read_and_left_out_is_told(folder: Path) -> None:
    lines = (folder / "pairs.jsonl").read_text().splitlines()
    long = {"prompt": "Long?", "chosen": "y" * 90, "rejected": "n" * 3}
    same = {"prompt": "Same?", "chosen": "y" * 90, "rejected": "y" * 89}
    words = {"prompt": "w" * 99, "chosen": "y", "rejected": "n"}
    lines += [json.dumps(record) for record in (long, same, words)]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    for steps in (4, 6):
        told = Told()
        asked = replace(request(folder / "run", steps=4), extend=steps if steps > 4 else None)
        drive(assistant_run(asked), Recorder(asked.folder), told)
        read = [line for line in told.lines if line.startswith("Reference")]
        assert len(read) == 1
        assert read[0].endswith("read now; a run that goes on reads them again")
        done, total = told.stages["reference"]
        assert done == total == int(read[0].split(" of ")[2].split()[0])
        assert "Dropout: 0, as two replies are compared; 0.1 in the base" in told.lines
        assert "Objective: dpo, beta 0.1: of preferences" in told.lines
        said = "\n".join(told.lines)
        assert "dialogues of pairs cut at max_length = 96: " in said
        assert "cut off; a larger context_length of the base keeps them" in said
        assert "1 pair left out, as all of a reply is cut off" in said
        assert "1 pair left out, as both replies are the same up to max_length = 96" in said


def test_records_decide_what_is_learnt_unless_that_is_said(folder: Path) -> None:
    talks = [{"prompt": f"Say {n}?", "completion": "y" * (n % 5 + 1)} for n in range(30)]
    (folder / "talks.jsonl").write_text("\n".join(map(json.dumps, talks)) + "\n")
    assert type(made(folder / "run")) is PreferenceRun
    assert type(made(folder / "run", records="talks.jsonl")) is InstructRun
    with pytest.raises(
        UsageError, match=r"objective = dpo: learns from preferences, .* but .*talks"
    ):
        made(folder / "run", records="talks.jsonl", objective="dpo")
    with pytest.raises(UsageError, match=r"objective = sft: learns the replies .*; leave it out"):
        made(folder / "run", objective="sft")
    (folder / "a.txt").write_text("A text.")
    with pytest.raises(UsageError, match=r"mix_text = .*a\.txt: goes on .*; leave it out"):
        made(folder / "run", mix_text=str(folder / "a.txt"))


def test_its_steps_are_smaller_than_those_on_replies(folder: Path) -> None:
    shares = {
        objective: job_of(folder / "run", objective=objective).rate_share
        for objective in ("dpo", "orpo")
    }
    assert shares == {"dpo": pytest.approx(0.1 * DPO_SLOWER), "orpo": 0.1}


def test_both_dialogues_of_a_row_are_planned(folder: Path) -> None:
    job = job_of(folder / "run", epochs=3.0)
    n_pairs, longest = len(job.learnt.pairs), job.row_length
    settings = replace(job.settings, steps=job.steps(3.0, job.settings))
    assert settings.steps == math.ceil(3 * n_pairs / 4)
    plan = job.plan(settings)
    assert plan.passes == pytest.approx(3, rel=0.05)
    told = dict(plan_rows(plan))
    assert told["Learns from"].endswith("passes over the pairs")
    assert f"rows of {longest}, " in told["Model"]
    assert plan.training is not None
    as_many = replace(settings, batch_size=8, epochs=None)
    assert plan.training == training_memory(job.config.replace(context_length=longest), as_many)
    fixes = dict(remedies(plan))
    assert fixes["batch_size=2 --set accumulation=2"] < plan.memory["total"]


def test_it_goes_on_by_its_own_record_and_needs_its_base_to(folder: Path) -> None:
    train(folder / "run", steps=5)
    (folder / "pairs.jsonl").unlink()
    again = recorded_instruct(RunFolder(folder / "run"), extend=8)
    again.check()
    done = drive(assistant_run(again), Recorder(again.folder), Screen())
    assert (done.progress.step, done.progress.finished) == (8, True)
    shutil.rmtree(folder / "base")
    longer = recorded_instruct(RunFolder(folder / "run"), extend=9)
    longer.check()
    with pytest.raises(RunError, match="base said of its replies, which is gone"):
        drive(assistant_run(longer), Recorder(longer.folder), Screen())
    assert load(folder / "run").model.config.drop_rate == 0


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_spoilt_batch_is_looked_into_again(
    folder: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = PreferenceRows.rows

    def spoilt(self: PreferenceRows, first: int, n: int) -> Any:
        batch = genuine(self, first, n)
        if first == 8:
            batch.arrays["reference"][1] = np.nan
        return batch

    monkeypatch.setattr(PreferenceRows, "rows", spoilt)
    with pytest.raises(DivergedError, match="step 3"):
        train(folder / "run", method=method)
    found = replay(folder / "run", jobs=JOBS)
    assert worst(found, 1) == [1]
    assert [math.isfinite(loss) for loss in found.losses] == [True, False, True, True]
    assert found.tokens.shape[:2] == (4, 2)


def test_two_processes_share_it(folder: Path) -> None:
    words = [str(folder / "run"), "full", "8", "auto"]
    starting.Training(folder, words, ranks=2, module="tests.finetune.making_pairs").finish()
    train(folder / "alone", steps=8)
    shared, alone = (starting.losses(RunFolder(folder / name)) for name in ("run", "alone"))
    assert shared == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("objective", ["dpo", "orpo"])
def test_the_test_s_pairs_are_compared_before_and_after(folder: Path, objective: str) -> None:
    (folder / "text.txt").write_text("A text that has nothing to do with it. " * 60)
    own: dict[str, Any] = {"objective": objective, "general_text": str(folder / "text.txt")}
    done = train(folder / "run", **own)
    record, job = read_assistant(done.folder.assistant), job_of(folder / "run", **own)
    assert record is not None
    assert record.before is not None
    assert (found := record.pairs) is not None
    pairs = job.tested.pairs
    was, now = (load(folder / name).model for name in ("base", "run"))
    known, sums = (reference_log_probs(one, pairs) for one in (was, now))
    assert (found.pairs, found.objective) == (len(pairs), objective)
    assert found.before is not None
    assert found.after is not None
    if objective == "dpo":
        assert found.before.loss == pytest.approx(math.log(2), abs=1e-6)
        assert (found.before.accuracy, found.before.margin) == (0.5, 0)
        margins = 0.1 * ((sums - known)[:, 0] - (sums - known)[:, 1])
        assert found.after.loss == pytest.approx(np.log1p(np.exp(-margins)).mean(), abs=1e-6)
        assert found.after.accuracy == (margins > 0).mean()
        assert found.after.margin == pytest.approx(margins.mean(), abs=1e-6)
    drifts = (sums - known).mean(axis=0)
    assert (found.after.chosen_drift, found.after.rejected_drift) == pytest.approx(drifts, abs=1e-5)
    n_counted = np.array([pair.n_counted for pair in pairs])
    assert (found.chosen_length, found.rejected_length) == pytest.approx(n_counted.mean(axis=0))
    for sum_of, figures in ((known, record.before), (sums, record.after)):
        loss = -sum_of[:, 0].sum() / n_counted[:, 0].sum()
        assert figures.loss == pytest.approx(loss, rel=1e-5)
        assert (figures.replies, figures.ended) == (None, None)
        assert figures.bits_per_byte is not None
    preferences = {one.where: one for one in job.preferences("test")}
    assert len(record.examples) == len(preferences) == 5
    for one in record.examples:
        assert one.expected == preferences[one.where].chosen
        assert one.rejected == preferences[one.where].rejected
        assert one.before is not None


def test_without_its_base_only_what_needs_none_is_judged(folder: Path) -> None:
    done = train(folder / "run", steps=2)
    done.folder.assistant.unlink()
    shutil.rmtree(folder / "base")
    drive(assistant_run(recorded_instruct(done.folder)), Recorder(done.folder), Screen())
    record = read_assistant(done.folder.assistant)
    assert record is not None
    assert record.pairs is not None
    assert (record.before, record.pairs.before, record.pairs.after) == (None, None, None)
    assert record.before_missing == f"{folder / 'base'}, which it was made from, is gone"
    assert [one.before for one in record.examples] == [None] * 5
