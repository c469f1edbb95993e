"""Dialogues and texts as ids that a model may learn: cut to its context, and what was lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from groundup.base.errors import DataError, TokenizerError
from groundup.base.words import counted
from groundup.data.dialogue import Dialogue, Entry, Message, PlainText
from groundup.generate.replies import DialogueIds, encode_dialogues
from groundup.generate.template import ChatTemplate
from groundup.tokenizer import Tokenizer

Entries = Sequence[Dialogue | PlainText]


@dataclass(frozen=True)
class Learnable:
    """What is left of dialogues to learn from, and what was cut off."""

    rows: list[DialogueIds]
    n_cut: int = 0
    """Dialogues of which the end was cut off."""
    n_lost: int = 0
    """Ids in those ends."""
    left_out: tuple[str, ...] = ()
    """Where dialogues stand of which no reply is left."""
    n_straddling: int = 0
    """Ids that count and hold a part of what stands around a reply, too."""


def learnable(
    entries: Entries,
    template: ChatTemplate,
    tokenizer: Tokenizer,
    max_length: int,
    start: int | None = None,
) -> Learnable:
    """Return the ids of dialogues and texts, of each at most `max_length` + 1.

    So many are read, and the last one is only a target. What is cut is the end; where nothing that
    counts is left the dialogue is left out. `start` begins every text, where the model knows such a
    token; a dialogue has what its template writes. Raises `DataError` where all are left out.
    """
    dialogues = [one for one in entries if isinstance(one, Dialogue)]
    talks = [one.messages for one in dialogues]
    encoded = encode_dialogues(template, tokenizer, talks, lambda n: dialogues[n].where)
    rows, left_out = list[DialogueIds](), list[str]()
    n_cut = n_lost = 0
    for entry in entries:
        whole = next(encoded) if isinstance(entry, Dialogue) else _text(entry, tokenizer, start)
        row = replace(whole, ids=whole.ids[: max_length + 1], counts=whole.counts[: max_length + 1])
        if lost := len(whole.ids) - len(row.ids):
            n_cut, n_lost = n_cut + 1, n_lost + lost
        if row.n_targets:
            rows.append(row)
        else:
            left_out.append(entry.where)
    if entries and not rows:
        raise DataError(
            f"no reply is left of {len(entries):,} at max_length = {max_length}: all are cut off; "
            "give a larger one, or shorter dialogues"
        )
    straddling = sum(row.n_straddling for row in rows)
    return Learnable(rows, n_cut, n_lost, tuple(left_out), straddling)


def losses_of(found: Sequence[Learnable], max_length: int, context_length: int) -> list[str]:
    """Return a line for each thing that is not learnt of dialogues, or not of a reply alone."""
    lines = []
    if n_cut := sum(one.n_cut for one in found):
        lost = counted(sum(one.n_lost for one in found), "token")
        lines.append(
            f"{counted(n_cut, 'dialogue')} cut at max_length = {max_length}: {lost} left out"
        )
    if left_out := [where for one in found for where in one.left_out]:
        lines.append(
            f"{counted(len(left_out), 'dialogue')} left out, as all replies are cut off (first: "
            f"{left_out[0]}); {kept_by(max_length, context_length)}"
        )
    if n := sum(one.n_straddling for one in found):
        lines.append(f"{counted(n, 'token')} hold a part of a reply and of what is around it")
    if n := sum(row.n_endless for one in found for row in one.rows):
        lines.append(
            f"{counted(n, 'answer')} not learnt to end, as the chat template ends none by a "
            "special token: the end of text stands behind the last one of a dialogue alone"
        )
    return lines


def unknown_in(entries: Iterable[Entry], tokenizer: Tokenizer) -> list[str]:
    """Return a line that says how much of the records the tokenizer does not know, if any."""
    n = sum(tokenizer.n_unknown(text) for entry in entries for text in entry.contents)
    what = "of the records not known to the tokenizer: the model cannot read or write them"
    return [f"{counted(n, 'character')} {what}"] if n else []


def kept_by(max_length: int, context_length: int) -> str:
    """Say what would keep dialogues whose replies are cut off."""
    larger = "max_length" if max_length < context_length else "context_length of the base"
    return f"a larger {larger} keeps them"


def last_question(entries: Entries) -> Sequence[Message] | None:
    """Return the messages up to the last reply of the first dialogue, by hash; None without one."""
    talks = [one for one in entries if isinstance(one, Dialogue)]
    return min(talks, key=lambda one: one.normalised).messages[:-1] if talks else None


def _text(entry: PlainText, tokenizer: Tokenizer, start: int | None) -> DialogueIds:
    """Return a text of which all counts, between the tokens that begin and end it, if any do."""
    ends = [[] if token is None else [token] for token in (start, tokenizer.end_of_text)]
    try:
        encoded = tokenizer.encode_array(entry.text)
    except TokenizerError as error:
        raise DataError(f"{entry.where}: {error}") from error
    ids = np.concatenate([ends[0], encoded, ends[1]]).astype(np.uint32)
    return DialogueIds(ids, np.ones(len(ids), np.bool_), 0)
