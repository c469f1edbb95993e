"""The report of an assistant shows its test, safely, with and without a model before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from groundup.runs.assistant import write_assistant
from groundup.runs.folder import RunFolder
from tests.report.test_report import HOSTILE, Outline, assert_only_text, read
from tests.runs.answered import (
    QUESTION,
    asked,
    example,
    judgement,
    model_figures,
    of_pairs,
    record,
    with_task,
)

MakeRun = Callable[..., Path]


def answered(run: Path, **changes: object) -> tuple[str, Outline]:
    write_assistant(RunFolder(run).assistant, record(**changes))
    return read(run)


def test_an_assistant_shows_all_that_was_found(make_run: MakeRun) -> None:
    page, outline = answered(make_run())
    for words in (
        "Held-out loss 3.250 → 0.512 nats",
        "was 2.5%",
        "75.0% (59.8% to 85.8%)",
        "2.0% worse",
        "sort-words, before",
        "Exact match by kind",
        QUESTION,
        "tasks, test 17",
        "Before (cut off)",
        "2 more",
        "3 repeated records",
        "3.1% of the positions computed",
        "in the order of SHA-256",
    ):
        assert words in outline.text, words
    assert page.count("<figure") == 5
    assert outline.headings[0] == 1
    assert max(outline.headings) == 3


def test_a_reply_without_words_is_told(make_run: MakeRun) -> None:
    page, outline = answered(make_run(), examples=(example(before="\n" * 400, after=""),))
    assert "Before (cut off)white space aloneAfternothing" in outline.text
    assert "\n" * 9 not in page


def test_a_judge_and_a_task_are_shown(make_run: MakeRun) -> None:
    found = judgement(
        unparsed=1, unparsed_answers=2, quotes=("hm", "<b>A</b>"), failed=3, why="late"
    )
    changes = vars(with_task(judgement=found))
    _, outline = answered(make_run(), **changes)
    for words in (
        "wise at http://localhost:8000/v1 prefers the reply after in 72.5% (57.2% to 83.9%)",
        "The first of two replies is preferred in 46%",
        "3 questions not judged: wise at http://localhost:8000/v1 failed (late)",
        "the verdict depends on the order",
        "2 answers without one verdict",
        "<b>A</b>",
        "Preferred",
        "piqa: acc 75.0% (40.9% to 92.9%) before",
        "was 75.0%",
    ):
        assert words in outline.text, words
    _, outline = answered(make_run())
    assert "prefer" not in outline.text.lower()
    assert "piqa" not in outline.text


def test_preferences_are_shown_before_and_after(make_run: MakeRun) -> None:
    run = make_run()
    write_assistant(RunFolder(run).assistant, of_pairs())
    page, outline = read(run)
    for words in (
        "Loss 0.6931 by definition → 0.5312",
        "Pairs told right",
        "was 50.0%",
        "75.0% (59.8% to 85.9%)",
        "-5.250",
        "tokens preferred",
        "40 test pairs, by dpo",
        "Chosen",
        "Rejected",
    ):
        assert words in outline.text, words
    assert "exact match" not in outline.text.lower()
    assert "Padding" not in page


def test_another_run_has_none_of_it(make_run: MakeRun) -> None:
    page, _ = read(make_run())
    assert "Held-out loss" not in page
    assert ".answer" not in page


def test_a_damaged_file_is_told_and_the_rest_is_there(make_run: MakeRun) -> None:
    run = make_run()
    RunFolder(run).assistant.write_text("{")
    page, outline = read(run)
    assert "expected JSON" in outline.text
    assert "Key figures" in outline.text
    assert page.count("<figure") == 4


def test_what_is_not_known_is_told(make_run: MakeRun) -> None:
    nothing = replace(model_figures(30, 38, 0.5, None), replies=None, ended=None)
    page, outline = answered(
        make_run(),
        before=None,
        before_missing="the base is gone",
        after=nothing,
        examples=(),
        asked=asked(unanswered="none was asked for", general_missing="no text"),
    )
    for words in (
        "as it was: the base is gone",
        "No question was answered: none was asked for",
        "Not measured: no text",
        "No question was asked",
    ):
        assert words in outline.text, words
    assert page.count("<figure") == 4


def test_hostile_texts_stay_text(make_run: MakeRun) -> None:
    one = example(where=HOSTILE, question=HOSTILE, expected=HOSTILE, after=HOSTILE, before=HOSTILE)
    now = model_figures(30, 38, 0.5, 1.0)
    assert now.replies
    kinds = tuple(replace(kind, kind=HOSTILE) for kind in now.replies.kinds)
    page, outline = answered(
        make_run(),
        examples=(one,) * 8,
        after=replace(now, replies=replace(now.replies, kinds=kinds)),
        asked=asked(general_text=HOSTILE, general_task=HOSTILE),
        judgement=judgement(model=HOSTILE, url=HOSTILE, quotes=(HOSTILE,), failed=1, why=HOSTILE),
        left_out={HOSTILE: 4},
        split=HOSTILE,
        chosen_by=HOSTILE,
    )
    assert_only_text(page)
    assert outline.count("script") == outline.count("img") == 0
