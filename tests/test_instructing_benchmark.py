"""Each suite of the assistants' benchmark, on a model of a moment."""

from __future__ import annotations

import argparse
import json
import random
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the checkout's root is not on the path")
from benchmarks.assistant import (
    WAYS,
    answers,
    memory,
    reward,
    shown_cell,
    speed,
    talks,
    taught_cell,
)
from benchmarks.assistant.speed_start import one_a_row, sets_of, side_by_side
from benchmarks.beside import turns
from benchmarks.cells import Cells
from benchmarks.tables import TABLES
from groundup.data.tasks import KINDS, TEST, make_tasks
from groundup.generate.replies import DialogueIds
from groundup.generate.run_settings import run_template
from groundup.generate.template import CHATML
from groundup.runs import RunFolder
from groundup.runs.load import load
from groundup.weights import export_model
from tests.finetune import instructing
from tests.finetune.making import with_base
from tests.test_finetuning_benchmark import CEILINGS, LLAMA, MACHINE


def here(module: str, job: dict[str, Any], threads: int) -> dict[str, Any]:
    """Measure in this process, and hand over what the other one would print."""
    return dict(json.loads(json.dumps(import_module(module).result(job))))


def nowhere(module: str, job: dict[str, Any], threads: int) -> dict[str, Any]:
    raise AssertionError(f"{module} was measured again")


def test_three_ways_to_learn_are_measured_once_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.train.choices.keep_freed_memory", lambda: None)
    work = with_base(tmp_path, context_length=256, drop_rate=0.0)
    options = argparse.Namespace(
        seeds=1, kind="compare", quick=True, threads=1, minutes=5, pretrain=1, rate=0.001
    )
    found = reward.compare(options, Cells(work, 1, here), work / "base")
    row = found["rows"][0]
    assert [row[way]["questions"] for way in WAYS] == [10, 10, 10]
    assert found["gains"]["answers"]["mean"] == row["reward"]["exact"] - row["answers"]["exact"]
    runs = {path.name.split("-")[1]: RunFolder(path) for path in (work / "runs").iterdir()}
    origins = {name: run.read().origin for name, run in runs.items()}
    first = {str(origin.run) for name, origin in origins.items() if origin and name != "answers"}
    assert len(first) == 1
    assert "cells-answers-1-" in first.pop()
    asked = runs["reward"].read().job
    assert asked is not None
    assert (asked.settings or {})["objective"] == "grpo"
    again = reward.compare(options, Cells(work, 1, nowhere), work / "base")
    assert json.dumps(again) == json.dumps(found)
    assert "| mean | " in TABLES["instructing_reward"](again)


def test_no_question_to_go_on_with_is_known_already_nor_asked_in_the_test(tmp_path: Path) -> None:
    paths = reward.tasks(tmp_path, "compare", reward.FIRST, reward.SECOND)
    parts = [
        {json.loads(line)["prompt"] for line in path.read_text().splitlines()} for path in paths
    ]
    assert [len(part) for part in parts] == [len(KINDS) * reward.FIRST, reward.SECOND]
    tests = {task.question for task in make_tasks(TEST, reward.TESTED, kinds=["compare"])}
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & tests


def with_talks(tmp_path: Path, n: int = 80) -> Path:
    """Write a base that knows ChatML, and dialogues of 2 to 8 messages of 3 to 60 letters."""
    work, chance = instructing.with_base(tmp_path, CHATML, **LLAMA), random.Random(1)
    said = [
        ["".join(chance.choices("abcdefgh", k=chance.randint(3, 60))) for _ in range(2 * k)]
        for k in (chance.randint(1, 4) for _ in range(n))
    ]
    made = [[talks._said(k, content) for k, content in enumerate(one)] for one in said]
    talks.write_talks(work / "talks.jsonl", made)
    return work


def test_a_published_model_is_asked_shown_and_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.train.choices.keep_freed_memory", lambda: None)
    for cell in (shown_cell, taught_cell):
        monkeypatch.setattr(cell, "KINDS", dict(list(KINDS.items())[:2]))
    monkeypatch.setattr(answers, "GENERAL", str(tmp_path / "general.txt"))
    (tmp_path / "general.txt").write_text("the cat sat on the mat, and so on. " * 60)
    work = instructing.with_base(tmp_path, CHATML, context_length=2048, drop_rate=0.0)
    options = argparse.Namespace(seeds=1, quick=True, threads=1, epochs=3, mix=None)
    found = answers.compare(options, Cells(work, 1, here), work / "base")
    assert {way: len(rows) for way, rows in found["rows"].items()} == {"lora": 1, "full": 1}
    assert {name: len(one["kinds"]) for name, one in found["shown"].items()} == {
        "0-shot": 2,
        "5-shot": 2,
        "5-shot-lines": 2,
    }
    for way, rows in found["rows"].items():
        before, after = rows[0]["before"], rows[0]["after"]
        assert rows[0]["asked"]["questions"] == 4
        assert rows[0]["asked"]["general_text"].endswith(answers.GENERAL)
        assert found["ways"][way]["exact"] == after["replies"]["exact"]
        lost = after["bits_per_byte"] / before["bits_per_byte"] - 1
        assert found["ways"][way]["forgotten"] == pytest.approx(lost)
        assert lost != 0
    again = answers.compare(options, Cells(work, 1, nowhere), work / "base")
    assert json.dumps(again) == json.dumps(found)
    assert "| 5-shot | " in TABLES["instructing_answers"](again)


def test_all_contestants_lose_as_much_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    monkeypatch.setattr("groundup.train.choices.keep_freed_memory", lambda: None)
    monkeypatch.setattr(
        turns, "call", lambda *job: {"machine": MACHINE, "load_average": 0.0, **CEILINGS}
    )
    work = with_talks(tmp_path)
    export_model(work / "base", work / "peer", dtype="f32")
    options = argparse.Namespace(rounds=1, steps=2, threads=1, quick=True, peer_python=None)
    found = speed.beside(
        options, Cells(work, 1, here), work / "talks.jsonl", work / "base", work / "peer"
    )
    assert [row["title"] for row in found["rows"]] == [c["title"] for c in speed.CASES.values()]
    for row in found["rows"]:
        assert row["loss_difference"] < 1e-5
        first, *_, last = row["turns"]["ours"][0]["losses"]
        assert first != last
    padding = {
        name: row["start"]["peer_padding"]
        for name, row in zip(speed.CASES, found["rows"], strict=True)
    }
    assert padding["lora-1"] == 0
    assert padding["lora"] < padding["lora-mixed"]
    assert "| LoRA, 1 dialogue |" in TABLES["instructing_speed"](found)


@pytest.mark.parametrize("how", ["alike", "mixed", "one"])
def test_both_read_the_same_dialogues_in_a_step(how: str) -> None:
    chance, batch, steps = random.Random(1), 1 if how == "one" else 4, 7
    found = [
        DialogueIds(np.arange(n + 1, dtype=np.uint32) + 1000 * k, np.arange(n + 1) % 3 == 0, 0)
        for k, n in enumerate(chance.randint(64, 512) for _ in range(300))
    ]
    sets = sets_of(how, found, batch, steps)
    assert len(sets) == steps
    for dialogues in sets:
        ours, theirs = side_by_side(dialogues, batch), one_a_row(dialogues)
        assert len(ours["tokens"]) == batch
        next_ones = theirs["row_labels"][:, 1:]
        assert sorted(ours["targets"][ours["targets"] >= 0]) == sorted(next_ones[next_ones >= 0])
        assert ours["lengths"].sum() == sum(len(one.ids) - 1 for one in dialogues)
        if how == "alike":
            lengths = [len(one.ids) for one in dialogues]
            assert max(lengths) - min(lengths) < 50
    n_tokens = [sum(len(one.ids) - 1 for one in dialogues) for dialogues in sets]
    assert max(n_tokens) == max(n_tokens[: turns.UNTIMED])
    if how != "mixed":  # from the longest to short ones
        lengths = [max(len(one.ids) for one in dialogues) for dialogues in sets]
        assert lengths == sorted(lengths, reverse=True)
        assert lengths[-1] < lengths[0] / 2


def test_dialogues_are_put_together_to_all_lengths(tmp_path: Path) -> None:
    work = with_talks(tmp_path, 400)
    run = load(work / "base")
    template = run_template(run)
    assert template is not None
    found = talks.dialogues(work / "talks.jsonl", template, run.tokenizer)
    lengths = [len(one.ids) - 1 for one in found]
    assert talks.SHORTEST <= min(lengths) < 130
    assert 450 < max(lengths) <= talks.LONGEST
    assert all(one.counts.any() for one in found)
    text = run.tokenizer.decode(max(found, key=lambda one: len(one.ids)).ids.tolist())
    pairs = [
        (one[n]["content"], one[n + 1]["content"])
        for one in talks.read_talks(work / "talks.jsonl")
        for n in range(0, len(one), 2)
    ]
    held = [n for n, pair in enumerate(pairs) if all(said in text for said in pair)]
    assert len(held) > 2
    assert held == list(range(held[0], held[0] + len(held)))  # as they come, none left out


def test_a_conversation_is_read_up_to_its_last_reply() -> None:
    turn = [{"text": "Hello"}, {"text": "How are you?"}]
    assert talks._talk([turn, [{"text": "Well"}], turn]) == [
        {"role": "user", "content": "Hello\nHow are you?"},
        {"role": "assistant", "content": "Well"},
    ]
    assert talks._talk([turn]) == []
    assert talks._talk([turn, [{"text": " "}]]) == []


def test_memory_is_measured_beside_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.train.choices.keep_freed_memory", lambda: None)
    monkeypatch.setattr(memory, "call", lambda *job: {"machine": MACHINE})
    monkeypatch.setattr(
        memory, "CASES", {name: memory.CASES[name] for name in ("lora", "full-chosen")}
    )
    work = with_talks(tmp_path)
    options = argparse.Namespace(quick=True, threads=1)
    records = talks.few(work / "talks.jsonl", 40)
    assert len(talks.read_talks(records)) == 40
    found = memory.compare(options, Cells(work, 1, here), records, work / "base")
    assert all(row["planned_mib"] > 300 and row["peak_memory_mib"] > 0 for row in found["rows"])
    assert found["rows"][0]["numbers"] == "fp32"
    table = TABLES["instructing_memory"](found)
    assert "| LoRA | fp32 | " in table
    assert ", as it chooses | " in table
    assert not list((work / "runs").iterdir())
