"""Each suite of the classifiers' benchmark, on texts and models of a moment, without a network."""

from __future__ import annotations

import argparse
import csv
import json
import random
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the checkout's root is not on the path")
from benchmarks.beside import turns
from benchmarks.cells import Cells
from benchmarks.classifier import chosen, data, memory, speed
from benchmarks.classifier.choice_cell import balanced, filled
from benchmarks.classifier.choices import ROWS, compare
from benchmarks.tables import TABLES
from groundup.weights import export_model
from tests.finetune.making import with_base, with_records

LLAMA: dict[str, Any] = {
    "context_length": 512,
    "drop_rate": 0.0,
    "norm": "rmsnorm",
    "position": "rope",
    "feed_forward": "swiglu",
    "bias": False,
}


def here(module: str, job: dict[str, Any], threads: int) -> dict[str, Any]:
    """Measure in this process, and hand over what the other one would print."""
    return dict(json.loads(json.dumps(import_module(module).result(job))))


def nowhere(module: str, job: dict[str, Any], threads: int) -> dict[str, Any]:
    raise AssertionError(f"{module} was measured again")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("groundup.train.choices.keep_freed_memory", lambda: None)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0})
    return with_records(with_base(tmp_path, **LLAMA), 80)


def options(suite: str, **others: Any) -> argparse.Namespace:
    return argparse.Namespace(
        suite=suite, seeds=1, quick=True, threads=1, rounds=1, steps=2, minutes=15, pretrain=1,
        **others,
    )  # fmt: skip


def test_the_book_s_rows_are_measured_once_and_found_again(work: Path) -> None:
    names = ("pad", "first", "context", "pad-head", "head-mean", "random", "tf-idf")
    rows, bases = {name: ROWS[name] for name in names}, {"nano": work / "base"}
    asked = options("table")
    asked.seeds = 2
    found = compare(asked, Cells(work, 1, here), work / "records.csv", bases, rows)
    assert [row["title"] for row in found["rows"]] == [rows[name].title for name in names]
    assert all(0 <= row["accuracy"] <= 1 and len(row["seeds"]) == 2 for row in found["rows"])
    again = compare(asked, Cells(work, 1, nowhere), work / "records.csv", bases, rows)
    assert json.dumps(again) == json.dumps(found)
    assert "| 95.00% |" in TABLES["finetuning_table"](again)
    (work / "cells" / "table-pad-1.json").unlink()
    with pytest.raises(AssertionError, match="measured again"):
        compare(asked, Cells(work, 1, nowhere), work / "records.csv", bases, rows)


def test_classes_are_balanced_and_no_text_is_on_two_sides(work: Path) -> None:
    splits = balanced(work / "records.csv", seed=1)
    labels = [e.label for split in splits.values() for e in split]
    texts = [e.text for split in splits.values() for e in split]
    assert labels.count("a") == labels.count("b") == 27  # every third of 80
    assert len(set(texts)) == len(texts)
    sizes = {name: len(split) for name, split in splits.items()}
    assert sizes == {"train": 38, "val": 6, "test": 10}
    assert balanced(work / "records.csv", seed=2)["test"] != splits["test"]


def test_the_book_s_padding_fills_up_and_cuts() -> None:
    assert filled(np.array([5, 6]), 4, 9).tolist() == [5, 6, 9, 9]
    assert filled(np.array([5, 6, 7]), 2, 9).tolist() == [5, 6]


def test_the_best_candidate_of_the_validation_is_tested(work: Path) -> None:
    cells = Cells(work, 1, here)
    found = chosen.check_sms(
        options("sms"),
        cells,
        work / "records.csv",
        {"smollm2": work / "base", "nano": work / "base"},
    )
    row = found["rows"]["smollm2"][0]
    best = max(one["macro_f1"] for one in row["candidates"].values())
    assert row["candidates"][row["chosen"]]["macro_f1"] == best
    assert list(row["candidates"]) == ["head", "last", "lora"]
    assert list(found["rows"]["nano"][0]["candidates"]) == ["head", "last", "lora", "all"]
    runs = {path.name.split("-")[3] for path in (work / "runs").glob("cells-sms-smollm2-*")}
    assert len(runs) == 1  # those that were not chosen are gone
    test = row["parts"]["test"]
    right = [round(test[who]["accuracy"] * test[who]["examples"]) for who in ("ours", "tf_idf")]
    paired = test["tf_idf"]["mcnemar"]
    assert paired["only_a"] - paired["only_b"] == right[0] - right[1]
    assert "The bar of 0.97 is " in TABLES["finetuning_sms"](found)


def test_mail_is_tested_part_by_part(work: Path) -> None:
    chance, groups = random.Random(1), {}
    for group in data.GROUPS:
        words = ("buy cheap now", "win money") if group.startswith("spam") else ("see you", "dear")
        lines = [
            json.dumps(
                {"label": "spam" if group.startswith("spam") else "ham",
                 "text": f"{chance.choice(words)} {chance.random()} " + "more " * 40}
            )
            for _ in range(60)
        ]  # fmt: skip
        groups[group] = work / f"{group}.jsonl"
        groups[group].write_text("\n".join(lines) + "\n")
    found = chosen.check_mail(options("mail"), Cells(work, 1, here), groups, work / "base")
    parts = found["rows"][0]["parts"]
    assert {part: one["ours"]["examples"] for part, one in parts.items()} == {
        "later": 20,
        "hard": 10,
    }
    assert parts["later"]["tf_idf_whole"]["accuracy"] == 1
    assert "hard-ham, 10 |" in TABLES["finetuning_mail"](found)
    drawn = (work / "mail" / "hard-ham-1-10-0.jsonl").read_text().splitlines()
    assert all(len(json.loads(line)["text"]) <= chosen.TOKENS for line in drawn)


def test_an_email_is_its_subject_and_its_text() -> None:
    raw = (
        "From: a@b\nSubject: =?utf-8?q?caf=C3=A9?=\nContent-Type: text/html; charset=latin-1\n"
        "Content-Transfer-Encoding: quoted-printable\n\n"
        "<html><style>p {}</style><p>4 =A3 &amp; more</p><script>x()</script></html>\n"
    )
    assert data.plain_text(raw) == "café 4 £ & more"
    assert data.plain_text("Subject: \n\n") == "(empty)"


def test_both_contestants_lose_as_much_at_every_step(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    with_records(work, 200)
    export_model(work / "base", work / "peer", dtype="f32")
    monkeypatch.setattr(
        turns, "call", lambda *job: {"machine": MACHINE, "load_average": 0.0, **CEILINGS}
    )
    found = speed.beside(
        options("speed"), Cells(work, 1, here), work / "records.csv", work / "base", work / "peer"
    )
    for row in found["rows"]:
        assert row["loss_difference"] < 1e-5
        first, *_, last = row["turns"]["ours"][0]["losses"]
        assert first != last
    assert "| all weights, 16 messages |" in TABLES["finetuning_speed"](found)


def test_memory_is_measured_on_the_longest_messages_beside_its_plan(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = memory.longest(work / "records.csv", 20)
    with (work / "records.csv").open() as file:
        lengths = [len(row["text"]) for row in csv.DictReader(file) if row["label"] == "a"]
    with records.open() as file:
        kept = list(csv.DictReader(file))
    of_a = [len(row["text"]) for row in kept if row["label"] == "a"]
    assert of_a == sorted(lengths, reverse=True)[:20]
    cases = {name: memory.CASES[name] | {"most": None} for name in ("full", "head")}
    monkeypatch.setattr(memory, "CASES", cases)
    found = memory.compare(options("memory"), Cells(work, 1, here), records, work / "base")
    longest = max(len(row["text"]) for row in kept)
    assert [row["longest"] for row in found["rows"]] == [longest, longest]
    assert all(row["planned_mib"] > 300 and row["peak_memory_mib"] > 0 for row in found["rows"])
    assert f"| all weights | 16 × {longest} | fp32 |" in TABLES["finetuning_memory"](found)


CEILINGS = {"gemm_flops": 1e11, "bandwidth": 1e10}
MACHINE = {
    "cpu": "one", "cores": 1, "memory_gib": 1, "instructions": "", "torch": "", "python": ""
}  # fmt: skip
