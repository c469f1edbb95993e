"""Making an assistant: it stops, goes on, is shared and checked as any training."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from groundup import load
from groundup.base.errors import RunError, UsageError
from groundup.finetune.assistant.packed_loss import packed_loss
from groundup.finetune.assistant.packing import attention_within
from groundup.finetune.assistant.request import recorded_instruct
from groundup.finetune.replies.run import InstructRun
from groundup.finetune.replies.step import InstructStep
from groundup.generate.questions import write_replies
from groundup.generate.run_settings import run_template
from groundup.generate.template import CHATML
from groundup.optim.balance import ExpertBalance
from groundup.runs import RunFolder
from groundup.runs.tensor_file import map_safetensors
from groundup.train.health import DivergedError
from groundup.train.kept import kept_batch
from tests.finetune.asking import Told
from tests.finetune.instructing import (
    carry_out,
    request,
    train,
    with_base,
    with_records,
    with_template,
    write_records,
)
from tests.processes import starting
from tests.train.test_second_job import assert_same_bits, kept

METHODS = ["full", "lora", "dora"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with records and a base without a template."""
    return with_records(with_base(tmp_path))


def of(tmp_path: Path, method: str) -> Path:
    """Return a folder with a base that `method` suits: adapters bring no new tokens."""
    make = with_base if method == "full" else with_template
    return with_records(make(tmp_path))


def finished(run: RunFolder) -> dict[str, Any]:
    """Return the line of the last validation."""
    return [x for x in starting.lines(run) if x.get("event") == "finished"][-1]


@pytest.mark.parametrize("method", METHODS)
def test_what_learns_is_kept_and_the_loaded_model_scores_as_the_trained_one(
    tmp_path: Path, method: str
) -> None:
    folder = of(tmp_path, method)
    run = train(folder / "run", method=method, steps=8).folder
    base, own = load(folder / "base").model.state_dict(), kept(run.path)
    learnt = {name for name in own if ":" not in name}
    if method == "full":
        assert learnt - {"lm_head.weight"} == set(base) - {"lm_head.weight"}
        assert len(own["token_embedding.weight"]) == 259, "with rows for the tokens of ChatML"
    else:
        assert all("lora_" in name or name.endswith("magnitude") for name in learnt)
        assert len(learnt) == 2 * 6 * (3 if method == "dora" else 2)
    assert (run.read().base is None) == (method == "full")
    job = InstructRun(request(folder / "run", method=method))
    loaded = load(run.path, "latest")
    assert loaded.chat_template == CHATML
    found, n_targets = packed_loss(loaded.model, job.validating.rows, job.row_length)
    assert n_targets == sum(int(row.counts[1:].sum()) for row in job.validating.rows)
    assert finished(run)["val_loss"] == pytest.approx(found, rel=1e-5)


def test_the_last_validation_is_what_the_model_says_whatever_it_learnt_in(folder: Path) -> None:
    run = train(folder / "run", steps=4, precision="bf16").folder
    job = InstructRun(request(folder / "run"))
    found, _ = packed_loss(load(run.path, "latest").model, job.validating.rows, job.row_length)
    assert finished(run)["val_loss"] == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_is_killed_and_goes_on_bit_for_bit(tmp_path: Path, method: str) -> None:
    folder, steps = of(tmp_path, method), 120
    run = RunFolder(folder / "run")
    words = [str(run.path), method, str(steps)]
    process = starting.Training(folder, words, module="tests.finetune.instructing")
    process.wait_for(lambda: len(list(run.checkpoints.glob("step-*"))) > 1)
    process.kill()
    assert process.ranks[0].returncode == -signal.SIGKILL
    if run.report.exists():
        pytest.fail("it was not killed in time")
    train(run.path, method=method, steps=steps)
    train(folder / "whole", method=method, steps=steps)
    assert_same_bits(run.path, folder / "whole")
    assert starting.lines(run) == starting.lines(RunFolder(folder / "whole"))


def test_two_processes_share_it(tmp_path: Path) -> None:
    folder = with_records(with_base(tmp_path, drop_rate=0.0))  # each draws its own dropout
    words = [str(folder / "run"), "full", "8"]
    starting.Training(folder, words, ranks=2, module="tests.finetune.instructing").finish()
    train(folder / "alone", steps=8)
    shared, alone = (starting.losses(RunFolder(folder / name)) for name in ("run", "alone"))
    assert shared == pytest.approx(alone, rel=1e-5)


SPLITS = [{"batch_size": 8 // n, "accumulation": n} for n in (1, 2, 8)]
MIX = {"mix_text": "text.txt", "mix_share": 0.5}


@pytest.mark.parametrize("double", [True, False])
def test_the_same_gradient_however_a_batch_is_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, double: bool
) -> None:
    """By the job's own source and step, with rows of few and of many targets that count."""
    monkeypatch.chdir(with_records(with_base(tmp_path, drop_rate=0.0)))
    Path("text.txt").write_text("some text to go on learning. " * 200)
    whole, *others = (
        first_gradient(InstructRun(request(tmp_path / "run", **split, **MIX)), double)
        for split in SPLITS
    )
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for parts in others:
        differs = max(float((parts[n] - whole[n]).abs().max()) for n in whole) / largest
        assert differs < (1e-12 if double else 1e-5)


def first_gradient(job: InstructRun, double: bool) -> dict[str, Tensor]:
    """Return the mean gradient of the job's first global batch, gathered pass by pass."""
    model = job.model(0).train()
    step = InstructStep(model.double() if double else model, balance_loss=0.0)
    source, total = job.source(job.settings), 0
    for i in range(job.settings.accumulation):
        batch = source.rows(i * job.settings.batch_size, job.settings.batch_size)
        loss_sum, n_targets = step(**{k: torch.from_numpy(a) for k, a in batch.arrays.items()})
        loss_sum.backward()
        total += int(n_targets)
    return {n: p.grad / total for n, p in model.named_parameters() if p.grad is not None}


def test_padding_does_not_count_in_how_busy_experts_are(tmp_path: Path) -> None:
    """A row beside a longer one is padded; the balance is that of the real tokens."""
    folder = with_base(tmp_path, n_experts=3, n_active_experts=1, drop_rate=0.0)
    talks = [{"prompt": f"{n}" + "x" * (n % 2 * 24), "completion": "abc"} for n in range(40)]
    write_records(folder / "records.jsonl", talks)
    job = InstructRun(request(folder / "run"))
    model, source = job.model(0).train(), job.source(job.settings)
    batches = (source.rows(first, 2).arrays for first in range(source.n_rows))
    arrays = next(one for one in batches if len(set(one["lengths"].tolist())) > 1)
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
    plain, balanced = (InstructStep(model, balance_loss=weight) for weight in (0.0, 1.0))
    loss, n_targets = plain(**batch)
    found = ((balanced(**batch)[0] - loss) / n_targets).detach()
    balance, losses = ExpertBalance(model), []
    model.hidden_states(batch["tokens"], attention_within(batch["positions"]))
    real = torch.arange(batch["tokens"].shape[1]) < batch["lengths"][:, None]
    for scores in (of_all[real.flatten()] for of_all in balance.scores):
        busy = torch.bincount(scores.argmax(dim=-1), minlength=3) / len(scores)
        losses.append(3 * (busy * scores.softmax(dim=-1).mean(dim=0)).sum())
    assert float(found) == pytest.approx(float(torch.stack(losses).mean().detach()), rel=1e-4)


def test_it_is_lengthened_and_resumed_by_name_without_its_records_and_its_base(
    folder: Path,
) -> None:
    train(folder / "run", steps=5)
    (folder / "records.jsonl").unlink()
    shutil.rmtree(folder / "base")
    done = carry_out(recorded_instruct(RunFolder(folder / "run"), extend=8))
    assert (done.progress.step, done.progress.finished) == (8, True)
    loaded = load(folder / "run")
    assert loaded.chat_template == CHATML
    assert loaded.tokenizer.special_tokens.keys() >= {"<|im_start|>", "<|im_end|>"}


def test_a_lengthened_run_is_as_one_of_that_length(tmp_path: Path) -> None:
    folder = of(tmp_path, "lora")
    train(folder / "run", method="lora", steps=5, schedule="constant")
    again = recorded_instruct(RunFolder(folder / "run"), extend=9)
    carry_out(again)
    train(folder / "whole", method="lora", steps=9, schedule="constant")
    assert_same_bits(folder / "run", folder / "whole")


def test_a_base_that_adapters_need_is_found_where_it_moved_along_or_missed(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    folder = of(tmp_path / "here", "lora")
    train(folder / "run", method="lora", steps=4)
    moved = folder.rename(folder.with_name("moved"))
    assert load(moved / "run").chat_template == CHATML
    shutil.rmtree(moved / "base")
    with pytest.raises(RunError, match="base, which is gone"):
        load(moved / "run")


def test_other_weights_another_template_and_other_records_are_refused_by_their_keys(
    tmp_path: Path,
) -> None:
    folder = of(tmp_path, "lora")
    train(folder / "run", method="lora", steps=4)
    with pytest.raises(UsageError, match="max_length was not set, now 60"):
        train(folder / "run", method="lora", steps=4, max_length=60)
    template = folder / "base/chat_template.jinja"
    template.write_text(CHATML.replace("'\\n' + message", "'\\n\\n' + message"))
    with pytest.raises(UsageError, match=r"fingerprint_of_template was .*, now "):
        train(folder / "run", method="lora", steps=4)
    template.write_text(CHATML)
    records = folder / "records.jsonl"
    before = records.read_text()
    records.write_text(before + '{"prompt": "more?", "completion": "yes"}\n')
    with pytest.raises(UsageError, match=r"fingerprint was .*, now "):
        train(folder / "run", method="lora", steps=4)
    records.write_text(before)
    assert train(folder / "run", method="lora", steps=4).was_finished


@pytest.mark.parametrize(
    ("method", "error", "says"),
    [
        ("full", UsageError, r"weights was .*, now "),
        ("lora", RunError, "has other weights by now; restore it"),
    ],
)
def test_another_base_in_its_place_is_refused(
    tmp_path: Path, method: str, error: type[Exception], says: str
) -> None:
    folder = of(tmp_path, method)
    train(folder / "run", method=method, steps=4)
    shutil.rmtree(folder / "base")
    with_base(folder, None if method == "full" else CHATML, seed=2)
    with pytest.raises(error, match=says):
        carry_out(recorded_instruct(RunFolder(folder / "run"), extend=6))


def test_a_spoilt_batch_is_kept_with_the_weights_it_met(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = InstructStep.forward, []

    def spoilt(self: InstructStep, **arrays: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(1)
        loss_sum, n_targets = forward(self, **arrays)
        return (loss_sum * float("nan") if len(calls) == 4 else loss_sum), n_targets

    monkeypatch.setattr(InstructStep, "forward", spoilt)
    with pytest.raises(DivergedError, match="step 4"):
        train(folder / "run", steps=6)
    batch = kept_batch(RunFolder(folder / "run"), None)
    arrays = map_safetensors(batch.path / "batch.safetensors")
    job = InstructRun(request(folder / "run"))
    expected = job.source(job.settings).rows(3 * 4, 4).arrays
    assert arrays.keys() == expected.keys()
    assert all(torch.equal(arrays[n], torch.from_numpy(a)) for n, a in expected.items())


def test_it_learns_to_answer_and_to_end_its_reply(tmp_path: Path) -> None:
    folder = with_base(tmp_path, drop_rate=0.0)
    talks = [{"prompt": f"{n}?", "completion": "yes"} for n in range(40)]
    write_records(folder / "records.jsonl", talks)
    run = train(folder / "run", steps=60, batch_size=2)
    loaded = load(run.folder.path)
    template = run_template(loaded)
    assert template is not None
    asked = [[{"role": "user", "content": "77?"}]]
    (reply,) = write_replies(loaded.model, loaded.tokenizer, template, asked, max_tokens=8)
    assert (reply.text, reply.ended) == ("yes", True)


def test_questions_that_leave_no_room_for_their_reply_are_told(tmp_path: Path) -> None:
    folder, told = with_base(tmp_path), Told()
    talks = [{"prompt": f"{n:02}" + "x" * 40 * (n % 2), "completion": "yes"} for n in range(40)]
    write_records(folder / "records.jsonl", talks)
    job = InstructRun(request(folder / "run"))
    job.prepare(told)
    n, n_asked = job.questions.no_room, len(job.questions.dialogues)
    assert min(n, n_asked) > 0
    assert n + n_asked == 4
    assert any(re.match(f"{n} test questions? of 4 not asked, ", line) for line in told.lines)
