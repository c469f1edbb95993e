"""What is said of an assistant follows from its figures, whichever way they fall."""

from __future__ import annotations

from dataclasses import replace

import pytest

from groundup.runs.assistant_words import summary_lines
from tests.runs.answered import asked, example, model_figures, of_pairs, record, replies


def said(heading: str, **changes: object) -> str:
    return " ".join(text for name, text in summary_lines(record(**changes)) if name == heading)


def test_the_summary_says_all_in_its_order() -> None:
    headings = [heading for heading, _ in summary_lines(record())]
    assert headings == [
        "Test", "Exact match", "Token F1", "Kinds", "Endings", "Forgetting",
        "Example", "Example", "Example", "Left out",
    ]  # fmt: skip
    assert all(len(heading) < 12 for heading in headings)  # what stands beside a text
    assert said("Test") == (
        "Held-out loss 3.250 → 0.512 nats a token of replies (612 tokens in 50 records), at step "
        "300."
    )
    exact = said("Exact match")
    assert exact.startswith("2.5% (0.4% to 12.9%) before, 75.0% (59.8% to 85.8%) after of 40 test")
    assert "the mean of 2 kinds" in exact
    assert said("Kinds") == "sort-words 5 → 75%, compare 0 → 75%."
    assert "3 of 40 replies, 7.5%" in said("Endings")
    assert "within 64 tokens" in said("Endings")
    assert said("Forgetting") == (
        "1.0000 → 1.0200 bits per byte on the validation part of factbook, 2.0% worse (65,536 "
        "tokens)."
    )
    left = said("Left out")
    assert left.startswith("3 repeated records (the first stays); the ends of 5 dialogues longer")
    assert "others" not in left
    assert "2 test questions whose reply has no room" in left
    assert "4 tokens learnt with a part of what is around a reply" in left


def test_an_example_is_one_line_and_says_what_was_cut_off() -> None:
    line = said("Example", examples=(example(after="a\x1b[31m" + "b" * 300),))
    assert '"Sort these words. Sort" (cut off), after' in line
    assert "\n" not in line
    assert "\x1b" not in line
    assert len(line) < 500
    assert 'after "a\ufffd[31mbbb' in line
    assert "after nothing" in said("Example", examples=(example(after=" "),))


def test_a_part_of_the_test_is_told() -> None:
    told = said("Test", asked=asked(dialogues=900))
    assert "in 50 records of 900, by hash)" in told


@pytest.mark.parametrize(("bits", "words"), [(0.9, "10.0% better"), (1.1, "10.0% worse")])
def test_forgetting_falls_either_way(bits: float, words: str) -> None:
    assert words in said("Forgetting", after=model_figures(30, 38, 0.5, bits))


def test_what_could_not_be_had_is_told() -> None:
    nothing = replace(model_figures(30, 38, 0.5, None), replies=None, ended=None)
    changes = {
        "before": None,
        "before_missing": "runs/base is gone",
        "after": nothing,
        "asked": asked(unanswered="the test has texts alone", general_missing="it keeps none"),
        "examples": (),
    }
    assert said("Exact match", **changes) == "No question was answered: the test has texts alone."
    assert said("Forgetting", **changes) == "Not measured: it keeps none."
    assert said("Doubt", **changes) == "Not compared with the model as it was: runs/base is gone."
    assert "→" not in said("Test", **changes)
    assert said("Endings", **changes) == said("Token F1", **changes) == ""


def test_without_a_before_only_what_is_now_is_said() -> None:
    changes = {"before": None, "examples": (example(before=None, before_ended=None),)}
    assert said("Kinds", **changes) == "sort-words 75%, compare 75%."
    assert said("Exact match", **changes).startswith("75.0% (59.8% to 85.8%) of 40 test questions")
    assert "before" not in said("Example", **changes)
    assert "before" not in said("Endings", **changes)


def test_doubts_of_long_replies_and_of_few_questions() -> None:
    assert said("Doubt") == ""
    assert "exact match says little" in said("Doubt", asked=asked(expected_words=30.0))
    few = replies(30, kinds=1)
    few = replace(few, kinds=(replace(few.kinds[0], questions=4),))
    after = replace(model_figures(30, 38, 0.5, None), replies=few)
    assert "fewer than 10 questions, whose figures can be chance: all (4)." in said(
        "Doubt", after=after
    )
    assert said("Kinds", after=after) == ""


def test_of_pairs_it_is_told_what_is_so_by_definition() -> None:
    lines = dict(summary_lines(of_pairs()))
    assert lines["Test"].startswith("Held-out loss 2.250 → 2.500 nats a token of chosen replies")
    assert lines["Pairs"] == (
        "Loss 0.6931 by definition → 0.5312; the chosen reply has the higher score in 50.0% by "
        "definition → 75.0% (59.8% to 85.9%) of 40 test pairs; margin 0.000 → 0.420."
    )
    assert lines["Drift"] == (
        "The chosen replies are likelier than before by -1.50 nats, the rejected ones by -5.25, in "
        "the mean."
    )
    assert "have 11.0 → 12.5 tokens, chosen ones 12.0, rejected ones 10.0" in lines["Lengths"]
    assert 'chosen "apple, pear", rejected "pear", before' in lines["Example"]
    assert not {"Exact match", "Token F1", "Endings", "Doubt"} & lines.keys()
    assert "definition" not in dict(summary_lines(of_pairs("orpo")))["Pairs"]


def test_what_needs_the_model_as_it_was_is_not_known_without_it() -> None:
    found = of_pairs()
    assert found.pairs is not None
    alone = replace(found.pairs, before=None, after=None)
    lines = dict(
        summary_lines(replace(found, before=None, before_missing="it is gone", pairs=alone))
    )
    assert lines["Pairs"] == (
        "Loss and accuracy of 40 test pairs are not known: dpo compares with the model as it was."
    )
    assert "Drift" not in lines
    assert lines["Doubt"] == "Not compared with the model as it was: it is gone."
