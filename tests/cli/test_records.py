"""Files of records on the command line: what is told, what is refused, and what is skipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import TRAIN, Groundup
from tests.texts import sentences

PREPARE = ("data", "prepare", "--tokenizer", "chars")
LINES = [json.dumps({"id": f"doc-{n}", "body": sentences(4, seed=n)}) for n in range(30)]


def test_the_field_and_what_is_skipped_are_told(groundup: Groundup) -> None:
    Path("a.jsonl").write_text("\n".join([*LINES, '{"id": 1}', "nonsense"]))
    stopped = groundup(*PREPARE, "a.jsonl")
    assert stopped.status == 1
    assert "a.jsonl, line 32: expected JSON" in stopped.err
    assert stopped.err.strip().endswith("--on-bad-record skip")
    done = groundup(*PREPARE, "a.jsonl", "--on-bad-record", "skip")
    assert done.status == 0
    assert done.err.splitlines() == [
        "groundup: a.jsonl: the text is the field 'body', in 30 of 32 records",
        "groundup: 30 documents follow each other with no token between them: this tokenizer has "
        "none that ends a text; name one with --end-of-text",
        "groundup: skipped records without a text: 1 (a.jsonl, line 31)",
        "groundup: skipped records that cannot be used: 1 (a.jsonl, line 32)",
    ]
    trained = groundup(*TRAIN, "a.jsonl", "--on-bad-record", "skip", "--steps", 1)
    assert trained.status == 0
    assert "a.jsonl: the text is the field 'body', in 30 of 32 records" in trained.out


def test_another_word_than_stop_or_skip(groundup: Groundup) -> None:
    Path("a.jsonl").write_text("\n".join(LINES))
    answer = groundup(*PREPARE, "a.jsonl", "--on-bad-record", "ignore")
    assert answer.status == 2
    assert "on_bad_record = ignore: expected stop or skip" in answer.err


@pytest.mark.parametrize("verb", [PREPARE, (*TRAIN, "--steps", 1)], ids=["prepare", "train"])
def test_chats_are_refused(groundup: Groundup, verb: tuple[str, ...]) -> None:
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello."}]
    Path("a.jsonl").write_text("".join(f"{json.dumps({'id': 'x', 'messages': turns})}\n" * 9))
    answer = groundup(*verb, "a.jsonl")
    assert answer.status == 1
    assert "a.jsonl: its records are chats" in answer.err
    assert len(answer.err.splitlines()) == 1
