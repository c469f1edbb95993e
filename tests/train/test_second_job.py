"""The driver knows no kind of job: a second one stops, goes on, replays, reports and is shared."""

from __future__ import annotations

import dataclasses
import math
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from groundup import GPT, ByteTokenizer, GPTConfig, TrainConfig, load, save
from groundup.base.errors import DataError, RunError, UsageError
from groundup.cli.run_names import check_run
from groundup.runs import RunFolder
from groundup.runs.base import base_table
from groundup.runs.checkpoint import newest_intact
from groundup.runs.manifest import QuantizationTable
from groundup.train import drive
from groundup.train.health import DivergedError
from groundup.train.listener import Screen
from groundup.train.recorder import Recorder
from groundup.train.replay import JOBS, replay, worst
from groundup.train.request import recorded_request
from groundup.train.resume import Identity
from groundup.train.start import start_from
from groundup.weights import export_model
from tests.processes import starting
from tests.train.second_job import Counting, Rows, train

CONFIG = GPTConfig(vocab_size=257, context_length=16, emb_dim=16, n_heads=2, n_layers=2)
STEPS = 150


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_base(tmp_path, seed=1)


def with_base(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    save(GPT(CONFIG), ByteTokenizer(), folder / "base")
    return folder


def kept(run: Path) -> dict[str, Tensor]:
    checkpoint, _ = newest_intact(run / "checkpoints")
    assert checkpoint is not None
    return {**checkpoint.model_tensors(), **checkpoint.trainer_tensors()}


def assert_same_bits(one: Path, other: Path) -> None:
    first, second = kept(one), kept(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_a_checkpoint_holds_what_learns_and_load_puts_it_together_with_the_base(
    folder: Path,
) -> None:
    before = load(folder / "base").model.state_dict()
    done = train(folder / "run")
    assert done.progress.finished
    assert done.progress.tokens == sum(Rows().rows(i, 4).n_tokens for i in range(0, 48, 4))
    own = kept(folder / "run")
    learnt = {name for name in own if ":" not in name}
    assert learnt == {"offset", *(name for name in before if name.startswith("blocks.1."))}
    loaded = load(folder / "run", "latest")
    assert torch.equal(loaded.extra["offset"], own["offset"])
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, own[name] if name in learnt else before[name]), name
    assert not torch.equal(own["blocks.1.ffn.up.weight"], before["blocks.1.ffn.up.weight"])
    assert train(folder / "run").was_finished


def test_whatever_the_job_says_of_itself_makes_it_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(folder / "run", steps=3)
    with pytest.raises(UsageError, match=r"\(learning_rate was not set, now 0\.5\)"):
        train(folder / "run", steps=3, learning_rate=0.5)
    said = Counting.identity

    def other(self: Counting) -> Identity:
        identity = said(self)
        return dataclasses.replace(identity, request={**identity.request, "rank": 4})

    monkeypatch.setattr(Counting, "identity", other)
    with pytest.raises(UsageError, match=r"\(rank was not set, now 4\)"):
        train(folder / "run", steps=3)


def test_it_is_killed_and_goes_on_bit_for_bit(folder: Path) -> None:
    words = [str(folder / "run"), str(STEPS)]
    process = starting.Training(folder, words, module="tests.train.second_job")
    run = RunFolder(folder / "run")
    process.wait_for(lambda: len(list(run.checkpoints.glob("step-*"))) > 1)
    process.kill()
    assert process.ranks[0].returncode == -signal.SIGKILL
    assert not run.report.exists()
    train(folder / "run", steps=STEPS)
    train(folder / "whole", steps=STEPS)
    assert_same_bits(folder / "run", folder / "whole")
    assert starting.lines(run) == starting.lines(RunFolder(folder / "whole"))
    assert "finished</span>" in run.report.read_text()


def test_two_processes_share_it(folder: Path) -> None:
    words = [str(folder / "run"), "12"]
    starting.Training(folder, words, ranks=2, module="tests.train.second_job").finish()
    train(folder / "alone")
    shared, alone = (starting.losses(RunFolder(folder / name)) for name in ("run", "alone"))
    assert shared == pytest.approx(alone, rel=1e-5)
    assert kept(folder / "run").keys() == kept(folder / "alone").keys()


def test_a_spoilt_row_is_found_again_by_the_step_of_the_job(folder: Path) -> None:
    with pytest.raises(DivergedError, match="step 5"):
        train(folder / "run", Rows(spoilt=17))
    with pytest.raises(UsageError, match="of the kind counting"):
        replay(folder / "run")
    found = replay(folder / "run", jobs={**JOBS, Counting.kind: Counting.recorded})
    assert worst(found, 1) == [1]
    assert [math.isfinite(loss) for loss in found.losses] == [True, False, True, True]
    assert (found.first, found.not_finite) == (None, [])
    assert torch.equal(found.tokens, torch.from_numpy(Rows().rows(16, 4).arrays["tokens"]))


def test_a_base_that_moves_along_is_found_and_one_that_is_gone_is_told(folder: Path) -> None:
    train(folder / "run", steps=3)
    moved = folder.rename(folder.with_name("moved"))
    assert load(moved / "run").extra
    (moved / "base").rename(moved / "elsewhere")
    with pytest.raises(RunError, match=r"learnt on top of step 0 of .*base, which is gone"):
        load(moved / "run")
    with pytest.raises(RunError, match=r"base is not a run folder"):
        train(moved / "run", steps=3)


def test_another_base_in_its_place_is_refused(folder: Path) -> None:
    train(folder / "run", steps=3)
    shutil.rmtree(folder / "base")
    with_base(folder, seed=2)
    with pytest.raises(RunError, match=r"base/checkpoints/step-00000000 has other weights by now"):
        load(folder / "run")
    with pytest.raises(UsageError, match=r"weights was .*, now "):
        train(folder / "run", steps=3)


def test_a_base_that_is_damaged_is_told(folder: Path) -> None:
    train(folder / "run", steps=3)
    (folder / "base/checkpoints/step-00000000/model.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match=r"holds only what it learnt .* has 0 bytes"):
        load(folder / "run")


def test_a_base_in_fewer_bits_is_refused(folder: Path) -> None:
    base = RunFolder(folder / "base")
    quantization = QuantizationTable(bits=8, run="runs/whole")
    base.write(dataclasses.replace(base.read(), quantization=quantization))
    with pytest.raises(UsageError, match=r"8 bits, .*; take runs/whole"):
        base_table(base.path)


def test_a_batch_is_looked_into_with_the_base_that_it_met(folder: Path) -> None:
    with pytest.raises(DivergedError):
        train(folder / "run", Rows(spoilt=17))
    shutil.rmtree(folder / "base")
    with_base(folder, seed=2)
    with pytest.raises(RunError, match="the job of it took other weights"):
        replay(folder / "run", jobs={Counting.kind: Counting.recorded})


@pytest.mark.parametrize("extra", [{}, {"offset": [256]}])
def test_what_no_gpt_has_and_the_job_does_not_tell_is_refused_before_it_trains(
    folder: Path, extra: dict[str, list[int]]
) -> None:
    job = Counting(folder / "base", TrainConfig(steps=3, device="cpu", precision="fp32"))
    job.extra = extra
    with pytest.raises(UsageError, match=r"offset is kept, of the shape \(257,\), but"):
        drive(job, Recorder(RunFolder(folder / "run")), Screen())
    assert not (folder / "run").exists()


def test_data_in_which_nothing_counts_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="no target of the training data counts, in 64 rows"):
        train(folder / "run", Rows(counts=False), steps=99)


@pytest.mark.parametrize("change", [{}, {"offset": [256]}, {"offset": [257], "more": [1]}])
def test_a_tensor_that_neither_the_config_nor_the_record_knows_is_refused(
    folder: Path, change: dict[str, Any]
) -> None:
    run = train(folder / "run", steps=3).folder
    manifest = run.read()
    assert manifest.job is not None
    job = dataclasses.replace(manifest.job, tensors=change)
    run.write(dataclasses.replace(manifest, job=job))
    with pytest.raises(RunError, match=r"does not fit run\.toml's \[(model|job)\]"):
        load(run.path)


def test_what_knows_only_whole_pretrained_models_says_so(folder: Path) -> None:
    run = train(folder / "run", steps=3).folder
    with pytest.raises(UsageError, match="is no GPT by itself: it has learnt offset, which a"):
        export_model(run.path, folder / "out", "hf")
    with pytest.raises(UsageError, match="holds a training of the kind counting, not pretraining"):
        recorded_request(run)
    with pytest.raises(UsageError, match="is no GPT by itself"):
        base_table(run.path)
    with pytest.raises(UsageError, match="is no GPT by itself"):
        start_from(run.path, {}, RunFolder(folder / "next"))
    with pytest.raises(UsageError, match="is no GPT by itself"):
        check_run(run.path, "best")  # what generate, chat, evaluate and others ask first
    loaded = load(run.path)
    whole = load(save(loaded.model, loaded.tokenizer, folder / "whole")).model
    assert all(map(torch.equal, whole.parameters(), loaded.model.parameters()))
