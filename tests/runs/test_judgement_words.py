"""What is said of a judge and of a public task follows from their figures."""

from __future__ import annotations

from dataclasses import replace

from groundup.runs.assistant import AssistantRecord
from groundup.runs.assistant_words import summary_lines
from groundup.runs.judgement import Judgement
from tests.runs.answered import asked, judgement, record, with_task


def lines(found: AssistantRecord, heading: str) -> list[str]:
    return [text for name, text in summary_lines(found) if name == heading]


def said(found: Judgement) -> list[str]:
    return lines(record(judgement=found), "Judge")


def test_a_judge_without_trouble_is_two_lines() -> None:
    assert said(judgement()) == [
        "wise at http://localhost:8000/v1 prefers the reply after in 72.5% (57.2% to 83.9%) of 40 "
        "questions, a tie counting half: 24 won, 6 lost, 10 ties (3 judged so, 5 as it depends on "
        "the order, 2 the same text, not asked).",
        "The first of two replies is preferred in 46%, the second in 41% of 76 verdicts. Replies "
        "have 12.0 words before and 7.5 after, in the mean.",
    ]
    assert lines(record(judgement=judgement()), "Doubt") == []
    assert said(judgement(tied=0, by_order=0, same=0))[0].endswith("6 lost, 0 ties.")


def test_what_was_no_verdict_is_quoted_and_what_failed_has_its_reason() -> None:
    found = judgement(
        won=20,
        unparsed=1,
        failed=3,
        unparsed_answers=2,
        quotes=("it\nis", "so"),
        why="HTTP 401: no",
    )
    assert said(found)[2:] == [
        '2 answers without one verdict: 1 question not counted. The first: "it is"; "so"',
        "3 questions not judged: wise at http://localhost:8000/v1 failed (HTTP 401: no). The same "
        "command asks for what is missing.",
    ]
    assert "failed, and it was asked no more (" in said(replace(found, stopped=True))[-1]


def test_a_judge_without_a_verdict_says_nothing_of_the_replies() -> None:
    nothing: dict[str, int] = dict.fromkeys(
        ("won", "lost", "tied", "by_order", "same", "first", "second", "even"), 0
    )
    found = judgement(**nothing, failed=40, win_rate=None, interval=None, why="late")
    assert (
        said(found)[0] == "wise at http://localhost:8000/v1 gave no verdict on any of 40 questions."
    )
    assert len(said(found)) == 2


def test_a_judge_that_goes_by_the_order_is_doubted() -> None:
    (doubt,) = lines(record(judgement=judgement(tied=0, by_order=10, same=0)), "Doubt")
    assert doubt.startswith("On 10 of 40 questions the judge's verdict depends on the order")


def test_a_task_is_told_before_and_after() -> None:
    assert lines(with_task(), "Task") == [
        "piqa: acc 75.0% (40.9% to 92.9%) before, 62.5% (30.6% to 86.3%) after, of 8 documents; "
        "acc_norm 62.5 → 50.0%; 2 right only before, 1 only after (p = 1, McNemar)."
    ]
    alone = with_task(before=None, task_change=None)
    assert lines(alone, "Task") == [
        "piqa: acc 62.5% (30.6% to 86.3%), of 8 documents; acc_norm 50.0%."
    ]
    missing = record(asked=asked(general_task="piqa", task_missing="no such file"))
    assert lines(missing, "Task") == ["piqa not asked: no such file."]
    assert lines(record(), "Task") == []
