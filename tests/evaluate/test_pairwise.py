"""Replies are compared in both orders; what a judge has answered is not asked again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from groundup.evaluate.intervals import wilson
from groundup.evaluate.pairwise import Comparison, compare, verdict_of
from groundup.runs.judgement import Judgement
from tests.evaluate.judging import Judge, both, judging, preferring

NEW_IS_GOOD = preferring(lambda reply: "new" in reply)


def comparisons(n: int = 5) -> list[Comparison]:
    return [
        Comparison(
            messages=[{"role": "user", "content": f"question {i}, 100%?"}],
            reference=f"reference {i}",
            before=f"old {i}",
            after=f"new {i}, longer",
        )
        for i in range(n)
    ]


def asked(judge: Judge, given: Sequence[Comparison] = (), journal: Path | None = None) -> Judgement:
    found = compare(judge.endpoint(), given or comparisons(), journal=journal)
    ends = (found.won, found.lost, found.tied, found.by_order, found.same)
    assert sum(ends) == found.counts
    assert found.counts + found.unparsed + found.failed == found.questions
    return found


def test_each_pair_is_asked_in_both_orders_with_its_reference() -> None:
    with judging(NEW_IS_GOOD) as judge:
        found = asked(judge)
    assert [both(prompt) for prompt in judge.prompts[:2]] == [
        ("old 0", "new 0, longer"),
        ("new 0, longer", "old 0"),
    ]
    for prompt in judge.prompts[:2]:
        assert "<conversation>\nuser: question 0, 100%?\n</conversation>" in prompt
        assert "<reference>\nreference 0\n</reference>" in prompt
    assert (found.won, found.questions, found.win_rate) == (5, 5, 1.0)
    assert found.interval == wilson(5, 5)
    assert (found.first, found.second, found.even) == (5, 5, 0)
    assert (found.words_before, found.words_after) == (2, 3)
    assert (found.url, found.model) == (judge.url, "wise")


def test_the_older_reply_may_win() -> None:
    with judging(preferring(lambda reply: "old" in reply)) as judge:
        found = asked(judge)
    assert (found.lost, found.win_rate) == (5, 0.0)


@pytest.mark.parametrize(("letter", "counts"), [("A", (10, 0)), ("B", (0, 10))])
def test_a_judge_that_looks_at_the_place_alone_comes_out_as_ties(
    letter: str, counts: tuple[int, int]
) -> None:
    with judging(lambda prompt: f"Verdict: {letter}") as judge:
        found = asked(judge)
    assert (found.by_order, found.won, found.lost) == (5, 0, 0)
    assert found.win_rate == 0.5
    assert (found.first, found.second) == counts


def test_a_tie_in_one_order_alone_depends_on_the_order() -> None:
    def mind(prompt: str) -> str:
        return "Verdict: tie" if "old" in both(prompt)[0] else "Verdict: A"

    with judging(mind) as judge:
        found = asked(judge)
        assert (found.by_order, found.even) == (5, 5)
        judge.mind = lambda prompt: "Verdict: tie"
        assert asked(judge).tied == 5


def test_of_the_same_text_nobody_is_asked() -> None:
    one = comparisons(1)[0]
    with judging(NEW_IS_GOOD) as judge:
        same = Comparison(messages=one.messages, reference="x", before=" new\n", after="new")
        found = asked(judge, [one, same, same])
    assert (found.won, found.same, len(judge.bodies)) == (1, 2, 2)
    assert found.win_rate == pytest.approx(2 / 3)


def test_rubbish_is_counted_and_shown_and_never_guessed() -> None:
    def mind(prompt: str) -> str:
        return "I\x1b[2J like A." if "question 1" in prompt else NEW_IS_GOOD(prompt)

    with judging(mind) as judge:
        found = asked(judge)
        assert (found.won, found.unparsed, found.unparsed_answers) == (4, 1, 2)
        assert found.win_rate == 1.0
        assert found.quotes == ("I\ufffd[2J like A.",) * 2
        judge.mind = lambda prompt: "A" * 3000
        found = asked(judge)
    assert (found.win_rate, found.interval, found.unparsed) == (None, None, 5)
    assert [len(quote) for quote in found.quotes] == [200] * 3


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("Verdict: A", "A"),
        ("because.\n\n**Verdict:** B\n", "B"),
        ("verdict: [[Tie]].", "tie"),
        ("Final verdict: Answer A", "A"),
        ("# Verdict: `B`", "B"),
        ("<think>Verdict: A</think>\nVerdict: B", "B"),
        ("Verdict: A\nso it is.\nVerdict: A", "A"),
        ("Verdict: A\nno.\nVerdict: B", None),
        ("Verdict: A or B", None),
        ("Verdict: A/B", None),
        ("The verdict: A", None),
        ("Verdict: C", None),
        ("Verdict: AB", None),
        ("<think>Verdict: A", None),
        ("A", None),
        ("", None),
    ],
)
def test_a_verdict_stands_alone_on_a_line(answer: str, verdict: str | None) -> None:
    assert verdict_of(answer) == verdict


def test_one_that_fails_at_first_is_asked_again() -> None:
    with judging(NEW_IS_GOOD, states=[500, 502]) as judge:
        found = asked(judge)
    assert (found.won, found.failed) == (5, 0)
    assert judge.waits == [1, 4]


def test_one_that_refuses_everything_is_not_asked_for_long_and_again_later(tmp_path: Path) -> None:
    journal = tmp_path / "judgements.jsonl"
    with judging(NEW_IS_GOOD, states=[401] * 4) as judge:
        found = asked(judge, journal=journal)
        assert (found.failed, found.counts, found.stopped) == (5, 0, True)
        assert found.why.startswith("HTTP 401: no")
        assert len(judge.bodies) == 3
        found = asked(judge, journal=journal)  # fails once more
        assert (found.failed, found.won, found.stopped) == (1, 4, False)
        found = asked(judge, journal=journal)
    assert (found.failed, found.won, found.why) == (0, 5, "")
    assert len(judge.bodies) == 3 + 10 + 1


def test_what_failed_is_asked_behind_what_was_not_asked_yet(tmp_path: Path) -> None:
    """Else three pairs that an endpoint refuses, as too long for it, would hold up all others."""
    with judging(NEW_IS_GOOD, states=[400] * 3) as judge:
        asked(judge, journal=tmp_path / "j")
        judge.bodies.clear()
        asked(judge, journal=tmp_path / "j")
    order = [prompt.partition("question ")[2][0] for prompt in judge.prompts]
    assert order == ["1", "2", "2", "3", "3", "4", "4", "0", "0", "1"]


def test_a_judge_that_hangs_is_counted_as_failed() -> None:
    with judging(hangs=True) as judge:
        found = compare(judge.endpoint(timeout=0.1, waits=()), comparisons())
    assert (found.failed, found.stopped, found.why) == (5, True, "no answer within 0.1 s")


def test_stopped_anywhere_it_is_asked_only_for_the_rest(tmp_path: Path) -> None:
    journal = tmp_path / "judgements.jsonl"

    def stop(done: int, total: int) -> None:
        assert total == 10
        if done == 3:
            raise KeyboardInterrupt

    with judging(NEW_IS_GOOD) as judge:
        whole = asked(judge)
        judge.bodies.clear()
        with pytest.raises(KeyboardInterrupt):
            compare(judge.endpoint(), comparisons(), journal=journal, progress=stop)
        assert len(judge.bodies) == 3
        journal.write_bytes(journal.read_bytes()[:-9])  # the last line was not written whole
        assert asked(judge, journal=journal) == whole
        assert len(judge.bodies) == 3 + 8
        assert asked(judge, journal=journal) == whole
        assert len(judge.bodies) == 3 + 8
        for damage in ((b'"verdict": "A"', b'"verdict": "a"'), (b'"answer"', b'"anzwer"')):
            journal.write_bytes(journal.read_bytes().replace(*damage, 1))
        assert asked(judge, journal=journal) == whole
        assert len(judge.bodies) == 3 + 8 + 2
        judge.bodies = judge.bodies[:11]
        other = compare(judge.endpoint(asked_model="other"), comparisons(), journal=journal)
        assert (other.model, len(judge.bodies)) == ("other", 3 + 8 + 10)
