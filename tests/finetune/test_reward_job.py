"""A training by rewards: it stops, goes on, tells what it found, and is refused where it cannot."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup import GPT, load
from groundup.base.errors import ConfigError, RunError, UsageError
from groundup.data.tasks import named_kinds
from groundup.finetune.assistant.packed_loss import packed_loss
from groundup.finetune.assistant.request import InstructRequest, recorded_instruct
from groundup.finetune.replay import JOBS
from groundup.finetune.rewards.rows import Prompt, exact
from groundup.finetune.rewards.run import RewardRun
from groundup.finetune.rewards.settings import RewardSettings, settings_of
from groundup.finetune.rewards.step import RewardStep
from groundup.generate import CHATML, Reply
from groundup.plan import plan_rows, training_memory
from groundup.runs import RunFolder
from groundup.runs.assistant import read_assistant
from groundup.train import Choices, Recorder, TrainRun, drive
from groundup.train.health import DivergedError
from groundup.train.listener import Listener, Screen
from groundup.train.replay import replay
from tests.finetune.asking import HERE, Told, asked_of
from tests.finetune.instructing import with_base, write_records
from tests.processes import starting
from tests.train.test_second_job import assert_same_bits

SHORT: dict[str, Any] = {
    **HERE, "batch_size": 2, "learning_rate": 0.01, "sample_tokens": 3, "steps": 6,
    "save_every": 2, "eval_every": 3,
}  # fmt: skip


class AnyRun(RewardRun):
    """One whose replies are rewarded by their letters: an untrained model is never right."""

    def step(self, model: GPT, choices: Choices) -> RewardStep:
        step = super().step(model, choices)
        step.reward = letters
        return step


def letters(prompt: Prompt, reply: Reply) -> float:
    return sum(reply.ids) % 5 / 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a base that has a template, and questions for it."""
    with_base(tmp_path, CHATML, drop_rate=0.0)
    records = [{"prompt": f"Double {n}", "completion": str(2 * n)} for n in range(30)]
    write_records(tmp_path / "records.jsonl", records)
    return tmp_path


def request(run: Path, records: str = "", **settings: Any) -> InstructRequest:
    asked = {**SHORT, "group": 3, "max_tokens": 4, **settings}
    return asked_of(run, records or str(run.parent / "records.jsonl"), kind=RewardSettings, **asked)


def train(asked: InstructRequest, kind: type[RewardRun] = AnyRun, *listeners: Listener) -> TrainRun:
    asked.check()
    return drive(kind(asked), Recorder(asked.folder), Screen(), listeners=listeners)


class BrokenOffError(RuntimeError):
    pass


class Breaks(Listener):
    """Breaks the training off behind a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def metrics(self, record: dict[str, Any]) -> None:
        if record["step"] == self.step and "train_loss" in record:
            raise BrokenOffError


@pytest.mark.parametrize(("method", "kl"), [("full", 0.0), ("full", 0.2), ("lora", 0.2)])
def test_it_is_broken_off_and_goes_on_bit_for_bit(folder: Path, method: str, kl: float) -> None:
    asked = request(folder / "run", method=method, kl=kl)
    with pytest.raises(BrokenOffError):
        train(asked, AnyRun, Breaks(5))
    assert RunFolder(folder / "run").checkpoints.joinpath("step-00000004").exists()
    done = train(recorded_instruct(RunFolder(folder / "run")))
    assert done.progress.finished
    whole = train(replace(asked, run="whole"))
    assert_same_bits(folder / "run", folder / "whole")
    of_both = [starting.lines(one.folder)[-1] for one in (done, whole)]
    for name in ("val_loss", "val_reward", "val_ended", "val_reply_tokens"):
        assert of_both[0][name] == of_both[1][name]
    assert of_both[0]["val_loss"] == 1 - of_both[0]["val_reward"]
    before = load(folder / "base").model.state_dict()
    after = load(folder / "run", "latest").model.state_dict()
    name = "blocks.0.attn.query.weight"
    assert not torch.equal(before[name], after[name])


def test_the_divergence_is_from_the_base_as_it_was_also_where_the_run_goes_on(
    folder: Path,
) -> None:
    expected = load(folder / "base").model.state_dict()
    for method in ("full", "lora"):
        references = list[GPT]()

        class Seen(AnyRun):
            def reference(self, model: GPT, choices: Choices) -> GPT:
                references.append(super().reference(model, choices))  # noqa: B023
                return references[-1]  # noqa: B023

        asked = request(folder / method, method=method, kl=0.2)
        with pytest.raises(BrokenOffError):
            train(asked, Seen, Breaks(5))
        train(asked, Seen)
        assert len(references) == 2
        for reference in references:
            assert reference.state_dict().keys() == expected.keys()
            for name, tensor in reference.state_dict().items():
                assert torch.equal(tensor, expected[name]), name


def test_a_base_that_is_gone_is_missed_where_the_divergence_is_measured(folder: Path) -> None:
    for name, kl in (("free", 0.0), ("dear", 0.2)):
        with pytest.raises(BrokenOffError):
            train(request(folder / name, kl=kl), AnyRun, Breaks(5))
    shutil.rmtree(folder / "base")
    assert train(recorded_instruct(RunFolder(folder / "free"))).progress.finished
    with pytest.raises(RunError, match=r"how far it is from .*base, which is gone; bring it back"):
        train(recorded_instruct(RunFolder(folder / "dear")))


def test_what_validates_is_right_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = request(folder / "run", steps=2), list[Prompt]()

    def answers(model: GPT, tokenizer: object, prompts: list[Any], **how: Any) -> list[Reply]:
        rows = RewardRun(asked).validating.rows
        assert [list(row.ids) for row in rows] == [list(ids) for ids in prompts]
        answered.extend(rows)
        return [Reply(row.answer, (1, 2), n > 0) for n, row in enumerate(rows)]

    monkeypatch.setattr("groundup.finetune.rewards.job.continue_prompts", answers)
    done = train(asked, RewardRun)
    last = starting.lines(done.folder)[-1]
    assert last["val_reward"] == pytest.approx(2 / 3)  # of three, the first has not ended
    assert (last["val_ended"], last["val_reply_tokens"]) == (pytest.approx(2 / 3), 2)
    assert {row.answer for row in answered} <= {str(2 * n) for n in range(30)}
    assert [line["train_loss"] for line in starting.lines(done.folder) if "train_loss" in line] == [
        1.0,
        1.0,
    ]  # an untrained model is never right
    assert exact(answered[0], Reply(answered[0].answer, (1,), True)) == 1


def test_a_kind_of_the_named_tasks_is_chosen(folder: Path) -> None:
    shutil.rmtree(folder / "base")
    with_base(folder, CHATML, context_length=256)
    job = RewardRun(request(folder / "run", "tasks", kinds="upper-case", max_tokens=32))
    rows = [*job.learnt.rows, *job.validating.rows]
    assert {row.kind for row in rows} == {"upper-case"}
    assert len(rows) == 200
    assert job.question is not None
    assert named_kinds()[job.question[-1]["content"]] == "upper-case", "it is shown on the way"
    assert job.row_length == max(len(row.ids) for row in rows) + 32
    other = RewardRun(request(folder / "run", kinds="compare"))
    with pytest.raises(UsageError, match="kinds = compare: none of 24 dialogues is one"):
        _ = other.learnt


def test_the_plan_counts_every_reply_and_the_reference(folder: Path) -> None:
    job = RewardRun(request(folder / "run"))
    settings = replace(job.settings, loss_chunk=1000)
    rows = replace(settings, batch_size=2 * 3)
    expected = training_memory(job.widest, rows).total
    assert job.needs(settings) == expected
    passes = 6 * 2 / len(job.learnt.lengths)
    assert job.plan(settings).passes == pytest.approx(passes)
    words = dict(plan_rows(job.plan(settings)))["Learns from"]
    assert words.endswith(f"{passes:.2f} passes over the questions")
    assert job.widest.context_length == job.row_length
    with_reference = RewardRun(request(folder / "run", kl=0.1))
    n = sum(p.numel() for p in with_reference.gpt.parameters())
    assert with_reference.needs(settings) == expected + 4 * n


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"group": 1}, "group = 1: expected 2 or more"),
        ({"max_tokens": 0}, "max_tokens = 0: expected 1 or more"),
        ({"kl": -0.1}, "kl = -0.1: expected 0 or more"),
        ({"temperature": 0.0}, "temperature = 0.0: expected above 0"),
        ({"kinds": "compare,sort"}, "kinds = 'compare,sort': expected one or more of extract"),
        ({"kinds": ""}, "kinds = '': expected one or more of extract"),
        ({"mix_text": "kjv"}, "mix_text = 'kjv': expected nothing"),
        ({"objective": "sft"}, "objective = 'sft': expected one of grpo"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RewardSettings(**settings)


def test_settings_are_found_again_by_their_objective() -> None:
    from groundup.config import as_table

    asked = RewardSettings(group=4, kinds="compare, extract")
    assert settings_of(as_table(asked)) == asked
    assert asked.chosen_kinds == ("compare", "extract")
    assert type(settings_of({})) is not RewardSettings


def test_a_text_is_no_question(folder: Path) -> None:
    texts = [{"text": f"Once {n}."} for n in range(20)]
    path = write_records(folder / "texts.jsonl", texts)
    job = RewardRun(request(folder / "run", str(path)))
    with pytest.raises(UsageError, match=r"texts\.jsonl, .* is a text; expected questions"):
        _ = job.learnt


def test_a_model_in_parts_is_refused(folder: Path) -> None:
    job = RewardRun(request(folder / "run", shard="on"))
    with pytest.raises(UsageError, match="shard = on with objective = grpo"):
        job.decide(Choices(job.settings, {}), Screen())


def test_it_is_judged_as_any_assistant(folder: Path) -> None:
    (folder / "text.txt").write_text("A text that has nothing to do with it. " * 60)
    own: dict[str, Any] = {
        "n_replies": 2,
        "general_text": str(folder / "text.txt"),
        "max_length": 31,
    }
    done = train(request(folder / "run", steps=2, **own), RewardRun)
    found = read_assistant(done.folder.assistant)
    assert found is not None
    assert found.before is not None
    job = RewardRun(request(folder / "run", steps=2, **own))
    rows = job.tested.rows
    for model, figures in (
        (load(folder / "base").model, found.before),
        (load(folder / "run").model, found.after),
    ):
        assert figures.loss == pytest.approx(packed_loss(model, rows, 64)[0], rel=1e-5)
        assert figures.bits_per_byte is not None
        assert figures.replies is not None
    assert found.asked.dialogues == len(rows) == 3
    assert (found.asked.questions, len(found.examples)) == (2, 2)
    assert found.padding is None
    assert found.chosen_by == "most right replies to the validation questions"
    assert found.left_out["questions with no room for a reply"] > 0
    assert train(recorded_instruct(done.folder), RewardRun).was_finished


def test_what_keeps_it_from_learning_is_told(folder: Path) -> None:
    shutil.rmtree(folder / "base")
    plain: dict[str, Any] = {"tie_embeddings": True, "n_experts": 2, "n_active_experts": 1}
    with_base(folder, context_length=96, **plain)
    told = Told()
    RewardRun(request(folder / "run")).prepare(told)
    said = " ".join(told.lines)
    assert "base has not learnt to answer" in said
    assert "balance_loss = 0.01 is not added with objective = grpo" in said
    assert "Reward: 1 where a reply is the answer and ends within 4 tokens, else 0; 3 re" in said


def test_a_spoilt_batch_is_looked_into_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = RewardStep.loss_of

    def spoilt(self: RewardStep, asked: Any, replies: Any, rewards: torch.Tensor) -> Any:
        wrong = any(row.answer == spoilt_answer for row in asked)
        return genuine(self, asked, replies, rewards * (torch.nan if wrong else 1))

    asked = request(folder / "run")
    job = RewardRun(asked)
    number = int(job.source(job.settings).rows(4, 1).arrays["numbers"][0])
    spoilt_answer = job.learnt.rows[number].answer
    monkeypatch.setattr(RewardStep, "loss_of", spoilt)
    with pytest.raises(DivergedError, match="step 3"):
        train(asked, RewardRun)
    found = replay(folder / "run", jobs=JOBS)
    assert [math.isfinite(loss) for loss in found.losses] == [False, True]
