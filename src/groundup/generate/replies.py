"""Where an assistant's replies stand in the ids of a dialogue: what a model learns from it.

A template is a program, so that where a reply stands in what it writes is not known beforehand; and
the ids of a part of a text are not the ids of the whole. So each dialogue is rendered twice, once
with a placeholder in place of every reply: what stands around the placeholders stands around the
replies, too. That gives the replies' characters, and the tokenizer says which ids these are.

What ends a reply is learnt with it: the special token that the template writes right behind it, or
behind white space, as `ChatTemplate.turn_ends` finds it for a chat. Where there is none, nothing of
the template is learnt, and the end of text stands behind the last reply instead of what the
template writes there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from groundup.base.errors import TokenizerError, UsageError
from groundup.data.batch import IGNORED
from groundup.data.messages import ASSISTANT
from groundup.generate.template import (
    ChatTemplate,
    Dialogue,
    Name,
    leading_token,
    numbered,
    plain_dialogue,
)
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.interface import Ids
from groundup.tokenizer.spans import Spans

Bools = npt.NDArray[np.bool_]

STEM = "Reply4b1d"
"""How a placeholder begins; letters are added where a dialogue has it."""


@dataclass(frozen=True)
class LocatedText:
    """A dialogue as its template writes it, and where the replies stand, with what ends them."""

    text: str
    """With the marks of special tokens that contents only spell: for `markup_spans`."""
    replies: list[tuple[int, int]]
    """Begin and end of each, in characters: `text[begin:end]` is the reply and what ends it."""
    has_end: bool
    """Whether a special token ends the last reply; else the text stops there without one."""


@dataclass(frozen=True)
class DialogueIds:
    """A dialogue as ids, and which of them are to be learnt."""

    ids: Ids
    """All of it (n,), uint32."""
    counts: Bools
    """Whether each id is part of a reply, or ends one (n,)."""
    n_straddling: int
    """Ids that count and reach beyond their reply."""
    n_endless: int = 0
    """Replies before the last one that the template ends by no special token: no end is learnt."""

    @property
    def n_read(self) -> int:
        """Tokens that a model reads of it: all but the last one, which is only a target."""
        return len(self.ids) - 1

    @property
    def n_targets(self) -> int:
        """Targets that count; the first id is none."""
        return int(self.counts[1:].sum())

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """The next token of each that is read (n_read,), `IGNORED` where that does not count."""
        return np.where(self.counts[1:], self.ids[1:].astype(np.int64), IGNORED)


def encode_dialogues(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    dialogues: Sequence[Dialogue],
    name: Name = numbered,
) -> Iterator[DialogueIds]:
    """Yield the ids of each dialogue, and which of them are to be learnt; one process renders all.

    The ids are those that `template.encode` gives without a generation prompt, but where no special
    token ends the last reply. A token that holds a part of a reply counts, also where it holds a
    part of what stands around it: without it, the reply's first word would not be learnt. (So do
    the assistant masks of `transformers`.) A special token counts if it begins in a reply.

    Raises `UsageError`, with what `name` calls the dialogue, where the template refuses it, drops a
    reply or changes more than the white space around it, or where no token could end a reply.
    """
    added = list(tokenizer.added_tokens.values())
    for n, located in enumerate(locate_replies(template, tokenizer, dialogues, name)):
        try:
            ids, spans = tokenizer.markup_spans(located.text)
        except TokenizerError as error:
            raise TokenizerError(f"{name(n)}: {error}") from None
        counts, n_straddling = _counted(located.replies, spans, np.isin(ids, added))
        n_endless = 0
        if located.replies and not located.has_end:
            ids = np.append(ids, np.uint32(tokenizer.end_of_text or 0))
            counts = np.append(counts, True)
            n_endless = len(located.replies) - 1
        yield DialogueIds(ids, counts, n_straddling, n_endless)


def locate_replies(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    dialogues: Sequence[Dialogue],
    name: Name = numbered,
) -> Iterator[LocatedText]:
    """Yield each dialogue as text, and where its replies stand; see `encode_dialogues`."""
    twice = chain.from_iterable(_twice(dialogue, tokenizer) for dialogue in dialogues)
    texts = template.rendered(twice, lambda n: name(n // 2))
    endings = leading_token(tokenizer)
    for n, (dialogue, around) in enumerate(zip(dialogues, texts, strict=True)):
        found = _located(plain_dialogue(dialogue, tokenizer), around, next(texts), endings)
        if isinstance(found, int):
            raise UsageError(
                f"{name(n)}: the chat template drops reply {found}, or changes more of it than the "
                "white space around it, as some drop the thoughts of earlier replies; leave out "
                "what it drops, or take a template that writes replies as they are"
            )
        if found.replies and not found.has_end and tokenizer.end_of_text is None:
            raise UsageError(
                f"{name(n)}: nothing ends a reply: the chat template writes no special token "
                "behind it, and the tokenizer has no end of text; take a template that writes one"
            )
        yield found


def _twice(dialogue: Dialogue, tokenizer: Tokenizer) -> Iterator[Dialogue]:
    """Yield the dialogue with placeholders for replies, and as it is."""
    plain = plain_dialogue(dialogue, tokenizer)
    held = iter(_placeholders(plain))
    yield [m | {"content": next(held)} if m["role"] == ASSISTANT else m for m in plain]
    yield plain


def _placeholders(dialogue: Dialogue) -> list[str]:
    """Return what stands for each reply, and nowhere else in the dialogue."""
    stem = STEM
    while any(stem in message["content"] for message in dialogue):
        stem += "x"
    return [f"{stem}-{n}." for n in range(len(_replies(dialogue)))]


def _replies(dialogue: Dialogue) -> list[str]:
    return [message["content"] for message in dialogue if message["role"] == ASSISTANT]


def _located(
    dialogue: Dialogue, around: str, text: str, endings: re.Pattern[str]
) -> LocatedText | int:
    """Find the replies in `text`, which is `around` with replies for placeholders.

    `endings` finds what ends a reply in what stands behind it. What comes back where a reply cannot
    be found is its number, from 1.
    """
    held = _placeholders(dialogue)
    places = [around.find(one) for one in held]
    for n, (one, place) in enumerate(zip(held, places, strict=True)):
        if place < max(places[:n], default=0) or around.count(one) > 1:
            return n + 1
    begins = [0, *(place + len(one) for one, place in zip(held, places, strict=True))]
    parts = [around[b:e] for b, e in zip(begins, [*places, len(around)], strict=True)]
    found: list[tuple[int, int]] = []
    at = len(parts[0]) if text.startswith(parts[0]) else -1
    end = None
    for reply, behind in zip(_replies(dialogue), parts[1:], strict=True):
        span = _reply_at(text, at, reply, behind) if at >= 0 else None
        if span is None:
            return len(found) + 1
        end = endings.match(behind)
        found.append((span[0], span[1] + (end.end() if end else 0)))
        at = span[1] + len(behind)
    if at != len(text):
        return len(found)
    if found and not end:
        text = text[: found[-1][1]]
    return LocatedText(text, found, bool(end))


def _reply_at(text: str, at: int, reply: str, behind: str) -> tuple[int, int] | None:
    """Return where `reply` stands in `text` from `at` on, followed by `behind`; None: it does not.

    Of the white space around it, a part may be missing.
    """
    core = reply.strip()
    end = at
    if core:
        n_lead = len(reply) - len(reply.lstrip())
        start = text.find(core, at, at + n_lead + len(core))
        if start < 0 or not reply[:n_lead].endswith(text[at:start]):
            return None
        end = start + len(core)
    trail = reply[len(reply.rstrip()) :]
    for n in range(len(trail), -1, -1):
        if text.startswith(trail[:n] + behind, end):
            return at, end + n
    return None


def _counted(replies: list[tuple[int, int]], spans: Spans, is_added: Bools) -> tuple[Bools, int]:
    """Return which ids count (n,), and how many of them reach beyond their reply."""
    begins, ends = spans[:, 0], spans[:, 1]
    counts, straddles = np.zeros_like(is_added), np.zeros_like(is_added)
    for begin, end in replies:
        # A special token may take the space behind it, which is not what it stands for.
        held = (begins < end) & (ends > begin) & ~(is_added & (begins < begin))
        counts |= held
        straddles |= held & ~is_added & ((begins < begin) | (ends > end))
    return counts, int(straddles.sum())
