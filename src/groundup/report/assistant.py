"""The parts of a report about an assistant's test: before and after, by kinds, and side by side."""

from __future__ import annotations

from collections.abc import Iterator

from groundup.base.words import counted
from groundup.report.charts import IntervalChart, Row
from groundup.report.figure import chart_figure
from groundup.report.judgement import judgement_body
from groundup.report.page import Section, cards, esc, fold, table
from groundup.report.records import records_table
from groundup.runs.assistant import AssistantRecord, ModelFigures, PairFigures, ReplyExample
from groundup.runs.assistant_words import (
    before_by_kind,
    doubts,
    drift,
    endings,
    exact_match,
    forgetting,
    left_out,
    lengths,
    loss,
    pairs,
    token_f1,
    worse,
)
from groundup.runs.reply_figures import KindFigures
from groundup.runs.share_words import percent, plain
from groundup.runs.task_words import task

ASSISTANT_STYLE = """
.cards + p { margin-top:1rem; }
.beside th:first-child { white-space:normal; overflow-wrap:anywhere; min-width:7rem; }
.answer { margin:0 0 1.6rem; } .answer p { margin:0 0 .3rem; max-width:none; }
.answer dl { margin:0; display:grid; grid-template-columns:6.5rem 1fr; gap:.3rem .8rem; }
.answer dt { color:var(--soft); font-size:.84rem; }
.answer .sample { margin:0; font-size:.95rem; padding:.4rem .8rem; max-height:20rem;
  overflow-y:auto; }
@media print { .answer .sample { max-height:none; } }
"""
OPEN_EXAMPLES = 6


def assistant_sections(record: AssistantRecord) -> list[Section]:
    """Return what there is to say of an assistant's test."""
    return [
        Section("test", "Test", _outcome(record)),
        Section("kinds", "Kinds", _kinds(record)),
        Section("judge", "Judge", judgement_body(record.judgement)),
        Section("answers", "Answers", _answers(record)),
        Section("records", "Records", records_table(record, left_out(record), "assistant")),
    ]


def _outcome(record: AssistantRecord) -> str:
    """Return the figures in words and beside each other, and what puts them in doubt."""
    named = (
        ("", loss(record)),
        ("Pairs: ", pairs(record)),
        ("Drift: ", drift(record)),
        ("Lengths: ", lengths(record)),
        ("Exact match: ", exact_match(record)),
        ("Token F1: ", token_f1(record)),
        ("Endings: ", endings(record)),
        ("Forgetting: ", forgetting(record)),
        ("Task: ", task(record)),
    )
    first, *others = [f"{name}{text}" for name, text in named if text]
    said = "".join(f"<p>{esc(text)}</p>" for text in others)
    alerts = "".join(f'<p class="alert">{esc(doubt)}</p>' for doubt in doubts(record))
    tables = _pairs(record) + _beside(record)
    return f'<p class="verdict">{esc(first)}</p>{cards(_cards(record))}{said}{alerts}{tables}'


def _cards(record: AssistantRecord) -> Iterator[tuple[str, str, str]]:
    """Yield what the assistant is worth, each with what it was before."""
    now, was = record.after, record.before
    if record.pairs and (of_pairs := record.pairs.after):
        earlier = record.pairs.before
        remark = f"was {100 * earlier.accuracy:.1f}%" if earlier else ""
        yield "Pairs told right", f"{100 * of_pairs.accuracy:.1f}%", remark
    yield "Held-out loss", f"{now.loss:.3f}", f"was {was.loss:.3f}" if was else "nats a token"
    if now.replies:
        first = f"was {100 * was.replies.exact:.1f}%" if was and was.replies else ""
        yield "Exact match", f"{100 * now.replies.exact:.1f}%", first
    if now.ended:
        first = f"was {100 * was.ended.share:.1f}%" if was and was.ended else ""
        yield "Replies that end", f"{100 * now.ended.share:.1f}%", first
    if (judged := record.judgement) and judged.win_rate is not None:
        yield "Preferred", f"{100 * judged.win_rate:.1f}%", "to the replies before, by a judge"
    if now.task:
        first = f"was {100 * was.task.accuracy:.1f}%" if was and was.task else "accuracy"
        yield (record.asked.general_task or "task"), f"{100 * now.task.accuracy:.1f}%", first
    if now.bits_per_byte is not None:
        yield "Bits per byte", f"{now.bits_per_byte:.4f}", worse(record).removeprefix(", ")


def _beside(record: AssistantRecord) -> str:
    """Return the figures of both models in one table."""
    models = [("before", record.before), ("after", record.after)]
    rows = [[name, *_figures(figures)] for name, figures in models if figures is not None]
    head = ["", "held-out loss", "exact match", "token F1", "replies that end", "bits per byte"]
    head.append(esc(record.asked.general_task or ""))
    known = [n for n in range(len(head)) if any(row[n] != "–" for row in rows)]
    shown = [[row[n] for n in known] for row in rows]
    caption = "On the same test, with 95% intervals"
    return table([head[n] for n in known], shown, caption, "beside")


def _figures(one: ModelFigures) -> Iterator[str]:
    yield f"{one.loss:.4f}"
    yield percent(one.replies.exact, one.replies.exact_interval) if one.replies else "–"
    yield plain(one.replies.token_f1, one.replies.token_f1_interval) if one.replies else "–"
    yield percent(one.ended.share, one.ended.interval) if one.ended else "–"
    yield "–" if one.bits_per_byte is None else f"{one.bits_per_byte:.4f}"
    yield percent(one.task.accuracy, one.task.interval) if one.task else "–"


def _pairs(record: AssistantRecord) -> str:
    """Return what both models made of the pairs in one table, "" where there are none."""
    if record.pairs is None or record.pairs.after is None:
        return ""
    models = [("before", record.pairs.before), ("after", record.pairs.after)]
    rows = [
        [
            name,
            f"{one.loss:.4f}",
            percent(one.accuracy, one.interval),
            f"{one.margin:.4f}",
            *("–" if nats is None else f"{nats:+.3f}" for nats in _drifts(one)),
            f"{one.preferred_length:.1f}",
        ]
        for name, one in models
        if one is not None
    ]
    head = ["", "loss", "pairs told right", "margin", "drift of chosen", "drift of rejected"]
    caption = f"{counted(record.pairs.pairs, 'test pair')}, by {record.pairs.objective}"
    return table([*head, "tokens preferred"], rows, f"{caption}; drifts in nats", "beside")


def _drifts(one: PairFigures) -> tuple[float | None, float | None]:
    return one.chosen_drift, one.rejected_drift


def _kinds(record: AssistantRecord) -> str:
    """Return the figures of each kind of questions, "" where all are of one."""
    replies, first = record.after.replies, before_by_kind(record)
    if replies is None or len(replies.kinds) < 2:
        return ""
    rows = [
        [
            f"<bdi>{esc(one.kind)}</bdi>",
            f"{one.questions:,}",
            *([_exact(first[one.kind])] if one.kind in first else ["–"] * bool(first)),
            _exact(one),
            *([f"{first[one.kind].token_f1:.3f}"] if one.kind in first else ["–"] * bool(first)),
            f"{one.token_f1:.3f}",
        ]
        for one in replies.kinds
    ]
    figures = [("exact match", "before"), ("exact match", "after")]
    figures += [("token F1", "before"), ("token F1", "after")]
    head = [f"{name} {when}" for name, when in figures if first or when == "after"]
    caption = "By the kind of questions, with 95% intervals"
    shown = table(["kind", "questions", *head], rows, caption, "beside")
    return f"{chart_figure(_chart(replies.kinds, first))}{shown}"


def _exact(one: KindFigures) -> str:
    return percent(one.exact, one.exact_interval)


def _chart(kinds: tuple[KindFigures, ...], first: dict[str, KindFigures]) -> IntervalChart:
    rows = []
    for one in kinds:
        both = [(first.get(one.kind), "before"), (one, "after")]
        rows += [
            Row(
                name=f"{one.kind}, {when}" if first else one.kind,
                value=100 * figures.exact,
                low=100 * figures.exact_interval[0],
                high=100 * figures.exact_interval[1],
            )
            for figures, when in both
            if figures is not None
        ]
    return IntervalChart(title="Exact match by kind", rows=rows, x_label="right replies, %")


def _answers(record: AssistantRecord) -> str:
    """Return questions with what was answered, some in full view and the others folded away."""
    if not record.examples:
        return '<p class="none">No question was asked.</p>'
    said = (
        f"<p>{counted(len(record.examples), 'test question')}, chosen by hash, whatever the "
        "replies are like.</p>"
    )
    shown = "".join(map(_answer, record.examples[:OPEN_EXAMPLES]))
    rest = record.examples[OPEN_EXAMPLES:]
    return said + shown + (fold(f"{len(rest):,} more", "".join(map(_answer, rest))) if rest else "")


def _answer(one: ReplyExample) -> str:
    behind = f", after {counted(one.earlier, 'earlier message')}" if one.earlier else ""
    is_pair = one.rejected is not None
    parts = [("Question", one.question, True)]
    parts.append(("Chosen" if is_pair else "Expected", one.expected, True))
    if one.rejected is not None:
        parts.append(("Rejected", one.rejected, True))
    if one.before is not None:
        parts.append(("Before", one.before, bool(one.before_ended)))
    parts.append(("After", one.after, one.after_ended))
    texts = "".join(
        f"<dt>{name}{'' if ended else ' (cut off)'}</dt>"
        f'<dd class="sample" dir="auto">{_said(text)}</dd>'
        for name, text, ended in parts
    )
    return (
        f'<div class="answer"><p><small>{esc(one.where)}{behind}</small></p><dl>{texts}</dl></div>'
    )


def _said(text: str) -> str:
    """Return a text, or in words that there is none to be seen: some models write line ends."""
    if text.strip():
        return f"<bdi>{esc(text)}</bdi>"
    return f'<span class="none">{"white space alone" if text else "nothing"}</span>'
