"""The part of a report about what a judge preferred."""

from __future__ import annotations

from groundup.report.page import esc, fold, table
from groundup.runs.judgement import Judgement
from groundup.runs.judgement_words import doubts, failed, outcome, position, unparsed


def judgement_body(found: Judgement | None) -> str:
    """Return what a judge preferred as HTML, "" where none was asked."""
    if found is None:
        return ""
    alerts = "".join(
        f'<p class="alert">{esc(text)}</p>' for text in (failed(found), *doubts(found)) if text
    )
    rows = [[name, f"{n:,}", why] for name, n, why in _ends(found)]
    caption = f"{found.questions:,} questions, each asked with the replies in both orders"
    said = f"<p>{esc(position(found))}</p>" if position(found) else ""
    return (
        f'<p class="verdict">{esc(outcome(found))}</p>{alerts}{said}'
        f"{table(['', 'questions', 'what it means'], rows, caption, 'words')}{_quotes(found)}"
    )


def _ends(found: Judgement) -> list[tuple[str, int, str]]:
    return [
        ("won", found.won, "the reply after is preferred in both orders"),
        ("lost", found.lost, "the reply before is preferred in both orders"),
        ("tie", found.tied, "neither is, in both orders"),
        ("tie by order", found.by_order, "the verdict depends on the order"),
        ("same text", found.same, "both replies are equal: a tie, not asked"),
        ("no verdict", found.unparsed, "an answer held none, or several: not counted"),
        ("not judged", found.failed, "the judge did not answer: not counted"),
    ]


def _quotes(found: Judgement) -> str:
    """Return the first answers without a verdict, folded away."""
    if not found.quotes:
        return ""
    texts = "".join(f'<p class="sample"><bdi>{esc(one)}</bdi></p>' for one in found.quotes)
    return f"<p>{esc(unparsed(found).partition(' The first:')[0])}</p>" + fold(
        "The first answers without a verdict", texts
    )
