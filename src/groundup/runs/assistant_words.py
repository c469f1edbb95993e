"""What the figures of an assistant mean, in sentences: for a report, and for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from groundup.base.errors import shown
from groundup.base.words import counted
from groundup.runs.assistant import DPO, AssistantRecord, Ended, ModelFigures, ReplyExample
from groundup.runs.judgement_words import doubts as doubts_of_judge
from groundup.runs.judgement_words import failed, outcome, position, unparsed
from groundup.runs.reply_figures import KindFigures, ReplyFigures
from groundup.runs.share_words import percent, plain
from groundup.runs.task_words import task

Line = tuple[str, str]
"""A heading of one word or two, and what is said under it."""

FEW = 10
"""Questions of a kind below which its figures are doubted."""
LONG_REPLY = 5
"""Words of the expected replies from which on hardly any reply is the same to the letter."""
TERMINAL_EXAMPLES = 3
LONGEST_TEXT = 100
MOST_NAMED = 12


def summary_lines(record: AssistantRecord) -> list[Line]:
    """Return the outcome of an assistant's test for a terminal, the most important first."""
    lines = [
        ("Test", loss(record)),
        ("Pairs", pairs(record)),
        ("Drift", drift(record)),
        ("Lengths", lengths(record)),
        ("Exact match", exact_match(record)),
        ("Token F1", token_f1(record)),
        ("Kinds", kinds(record)),
        ("Endings", endings(record)),
        ("Forgetting", forgetting(record)),
        ("Task", task(record)),
        *(("Judge", said) for said in judged(record)),
        *(("Example", example(one)) for one in record.examples[:TERMINAL_EXAMPLES]),
        ("Left out", left_out(record)),
        *(("Doubt", doubt) for doubt in doubts(record)),
    ]
    return [(heading, text) for heading, text in lines if text]


def loss(record: AssistantRecord) -> str:
    """Return the held-out loss before and after, and of what."""
    asked = record.asked
    part = "" if asked.loss_dialogues == asked.dialogues else f" of {asked.dialogues:,}, by hash"
    return (
        f"Held-out loss {_change(record, lambda one: f'{one.loss:.3f}')} nats a token of "
        f"{'chosen ' if record.pairs else ''}replies "
        f"({counted(asked.loss_tokens, 'token')} in {counted(asked.loss_dialogues, 'record')}"
        f"{part}), at step {record.step:,}."
    )


def pairs(record: AssistantRecord) -> str:
    """Return how well the chosen reply of a pair is told from the other, "" without pairs."""
    if (found := record.pairs) is None:
        return ""
    now, was = found.after, found.before
    if now is None:
        return (
            f"Loss and accuracy of {counted(found.pairs, 'test pair')} are not known: "
            f"{found.objective} compares with the model as it was."
        )
    by_definition = " by definition" if found.objective == DPO else ""
    first = f"{was.loss:.4f}{by_definition} → " if was else ""
    said = f"{100 * was.accuracy:.1f}%{by_definition} → " if was else ""
    return (
        f"Loss {first}{now.loss:.4f}; the chosen reply has the higher score in {said}"
        f"{percent(now.accuracy, now.interval)} of {counted(found.pairs, 'test pair')}; margin "
        f"{f'{was.margin:.3f} → ' if was else ''}{now.margin:.3f}."
    )


def drift(record: AssistantRecord) -> str:
    """Say how much likelier the replies of pairs have become, "" where that is not known."""
    now = record.pairs.after if record.pairs else None
    if now is None or now.chosen_drift is None or now.rejected_drift is None:
        return ""
    both = f"{now.chosen_drift:+.2f} nats, the rejected ones by {now.rejected_drift:+.2f}"
    return f"The chosen replies are likelier than before by {both}, in the mean."


def lengths(record: AssistantRecord) -> str:
    """Say whether longer replies are preferred than were chosen, "" where that is not known."""
    if (found := record.pairs) is None or found.after is None:
        return ""
    before = f"{found.before.preferred_length:.1f} → " if found.before else ""
    return (
        f"Those that the model prefers have {before}{found.after.preferred_length:.1f} tokens, "
        f"chosen ones {found.chosen_length:.1f}, rejected ones {found.rejected_length:.1f}."
    )


def exact_match(record: AssistantRecord) -> str:
    """Return how many replies are the answer, before and after; why none where none was asked."""
    if record.after.replies is None:
        why = record.asked.unanswered
        return "" if record.pairs else f"No question was answered: {why}."
    n, n_kinds = record.asked.questions, len(record.after.replies.kinds)
    mean = f", the mean of {n_kinds} kinds" if n_kinds > 1 else ""
    return (
        f"{_replies(record, lambda f: percent(f.exact, f.exact_interval))} of "
        f"{counted(n, 'test question')}, chosen by hash{mean}. In brackets: 95% intervals."
    )


def token_f1(record: AssistantRecord) -> str:
    """Return how many words replies share with the answers, "" where none was asked."""
    if record.after.replies is None:
        return ""
    return f"{_replies(record, lambda f: plain(f.token_f1, f.token_f1_interval))}."


def kinds(record: AssistantRecord) -> str:
    """Return the exact match of each kind of questions, "" where there is one kind."""
    if record.after.replies is None or len(record.after.replies.kinds) < 2:
        return ""
    first = before_by_kind(record)
    said = [
        f"{shown(one.kind, 40)} "
        + (f"{100 * first[one.kind].exact:.0f} → " if one.kind in first else "")
        + f"{100 * one.exact:.0f}%"
        for one in record.after.replies.kinds
    ]
    more = len(said) - MOST_NAMED
    return ", ".join(said[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "") + "."


def before_by_kind(record: AssistantRecord) -> dict[str, KindFigures]:
    """Return the figures of the model as it was, by the kind of questions."""
    replies = record.before.replies if record.before else None
    return {one.kind: one for one in replies.kinds} if replies else {}


def endings(record: AssistantRecord) -> str:
    """Return how many replies ended by themselves, "" where none was asked."""
    if record.after.ended is None:
        return ""
    first = record.before.ended if record.before else None
    before = f"{_ended(first)} before, " if first else ""
    return (
        f"{before}{_ended(record.after.ended)}{' after' * bool(first)} end by themselves within "
        f"{counted(record.asked.max_tokens, 'token')}."
    )


def _ended(one: Ended) -> str:
    return f"{one.ended:,} of {one.replies:,} replies, {percent(one.share, one.interval)}"


def forgetting(record: AssistantRecord) -> str:
    """Say how much worse the model predicts a text that has nothing to do with the dialogues."""
    if record.after.bits_per_byte is None:
        return f"Not measured: {record.asked.general_missing}."
    return (
        f"{_change(record, lambda one: f'{one.bits_per_byte or 0:.4f}')} bits per byte on "
        f"{record.asked.general_text}{worse(record)} "
        f"({counted(record.after.general_tokens, 'token')})."
    )


def judged(record: AssistantRecord) -> Iterator[str]:
    """Say what a judge preferred, where one was asked."""
    if (found := record.judgement) is not None:
        yield from (text for of in (outcome, position, unparsed, failed) if (text := of(found)))


def worse(record: AssistantRecord) -> str:
    """Return by which part the bits per byte have risen or fallen, "" where that is unknown."""
    first = record.before.bits_per_byte if record.before else None
    if not first or record.after.bits_per_byte is None:
        return ""
    change = 100 * (record.after.bits_per_byte / first - 1)
    return f", {abs(change):.1f}% {'worse' if change > 0 else 'better'}"


def example(one: ReplyExample) -> str:
    """Return a question and its replies on one line."""
    before = "" if one.before is None else f", before {_quoted(one.before, one.before_ended)}"
    expected = f"expected {_quoted(one.expected)}"
    if one.rejected is not None:
        expected = f"chosen {_quoted(one.expected)}, rejected {_quoted(one.rejected)}"
    return (
        f"{_quoted(one.question)}: {expected}{before}, after {_quoted(one.after, one.after_ended)}"
    )


def _quoted(text: str, ended: bool | None = True) -> str:
    words = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    if len(words) > LONGEST_TEXT:
        words = f"{words[: LONGEST_TEXT - 3]}..."
    said = f'"{words}"' if words else "nothing"
    return said + ("" if ended else " (cut off)")


def left_out(record: AssistantRecord) -> str:
    """Say what was not used, cut or doubtful, "" where nothing was."""
    parts = [f"{count:,} {reason}" for reason, count in record.left_out.items() if count]
    if record.cut:
        longest = counted(record.max_length, "token")
        ends = f"the ends of {counted(record.cut, 'dialogue')} longer than {longest}"
        parts.append(f"{ends} ({counted(record.lost, 'token')})")
    if record.asked.no_room:
        n = counted(record.asked.no_room, "test question")
        parts.append(f"{n} whose reply has no room in the context")
    if record.straddling:
        n = counted(record.straddling, "token")
        parts.append(f"{n} learnt with a part of what is around a reply")
    return "; ".join(parts)


def doubts(record: AssistantRecord) -> Iterator[str]:
    """Say what keeps the figures from being taken at their word."""
    if record.before is None:
        yield (
            "Not compared with the model as it was: "
            f"{record.before_missing or 'no reason was kept'}."
        )
    if record.judgement is not None:
        yield from doubts_of_judge(record.judgement)
    replies = record.after.replies
    if replies is None:
        return
    if record.asked.expected_words >= LONG_REPLY:
        yield (
            f"Half of the expected replies have {record.asked.expected_words:.0f} words or more, "
            "of which a good reply need not be the same: exact match says little here, and token "
            "F1 not much more."
        )
    if few := [one for one in replies.kinds if one.questions < FEW]:
        named = ", ".join(
            f"{shown(one.kind, 40) or 'all'} ({one.questions})" for one in few[:MOST_NAMED]
        )
        more = len(few) - MOST_NAMED
        yield (
            f"Kinds with fewer than {FEW} questions, whose figures can be chance: {named}"
            f"{f' and {more} more' if more > 0 else ''}."
        )


def _change(record: AssistantRecord, of: Callable[[ModelFigures], str]) -> str:
    """Write a figure before and after."""
    return f"{of(record.before)} → {of(record.after)}" if record.before else of(record.after)


def _replies(record: AssistantRecord, of: Callable[[ReplyFigures], str]) -> str:
    first = record.before.replies if record.before else None
    after = record.after.replies
    assert after is not None, "asked of those that answered"
    return f"{of(first)} before, {of(after)} after" if first else of(after)
