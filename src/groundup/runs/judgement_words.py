"""What a judge preferred, in sentences: for a report, a terminal and a card."""

from __future__ import annotations

from collections.abc import Iterator

from groundup.base.words import counted
from groundup.runs.judgement import Judgement
from groundup.runs.share_words import percent

OFTEN = 0.25
"""Share of the questions from which on it is doubted that a judge looks at more than the order."""


def outcome(found: Judgement) -> str:
    """Return which replies are preferred, by whom, and of how many questions."""
    who = f"{found.model} at {found.url}"
    if found.win_rate is None or found.interval is None:
        return f"{who} gave no verdict on any of {counted(found.questions, 'question')}."
    return (
        f"{who} prefers the reply after in {percent(found.win_rate, found.interval)} of "
        f"{counted(found.counts, 'question')}, a tie counting half: {found.won:,} won, "
        f"{found.lost:,} lost, {counted(found.ties, 'tie')}{_ties(found)}."
    )


def _ties(found: Judgement) -> str:
    """Return what kinds of ties there are, "" where there is none."""
    kinds = (
        (found.tied, "judged so"),
        (found.by_order, "as it depends on the order"),
        (found.same, "the same text, not asked"),
    )
    said = ", ".join(f"{n:,} {why}" for n, why in kinds if n)
    return f" ({said})" if said else ""


def position(found: Judgement) -> str:
    """Return how often the reply that stands first is preferred, and how long the replies are."""
    n = found.first + found.second + found.even
    if not n:
        return ""
    shares = f"{100 * found.first / n:.0f}%, the second in {100 * found.second / n:.0f}%"
    return (
        f"The first of two replies is preferred in {shares} of {counted(n, 'verdict')}. Replies "
        f"have {found.words_before:.1f} words before and {found.words_after:.1f} after, in the "
        "mean."
    )


def unparsed(found: Judgement) -> str:
    """Return how many answers of the judge held no verdict, with the first, "" where none."""
    if not found.unparsed_answers:
        return ""
    quotes = "; ".join(f'"{" ".join(one.split())}"' for one in found.quotes)
    return (
        f"{counted(found.unparsed_answers, 'answer')} without one verdict: "
        f"{counted(found.unparsed, 'question')} not counted. The first: {quotes}"
    )


def failed(found: Judgement) -> str:
    """Return how many questions are not judged, and why, "" where all are."""
    if not found.failed:
        return ""
    ended = ", and it was asked no more" if found.stopped else ""
    return (
        f"{counted(found.failed, 'question')} not judged: {found.model} at {found.url} failed"
        f"{ended} ({found.why}). The same command asks for what is missing."
    )


def doubts(found: Judgement) -> Iterator[str]:
    """Say what keeps a judge from being taken at its word."""
    if found.counts and found.by_order / found.counts >= OFTEN:
        yield (
            f"On {found.by_order:,} of {counted(found.counts, 'question')} the judge's verdict "
            "depends on the order: it says little here."
        )
