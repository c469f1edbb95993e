"""From a record of a known format to a dialogue, a text or a preference."""

from __future__ import annotations

import re
from typing import Any

from groundup.base.errors import DataError
from groundup.data.dialogue import Dialogue, Entry, PlainText, Preference
from groundup.data.dialogue_formats import (
    EXAMPLES,
    MESSAGES,
    PREFERENCE,
    PROMPT,
    SHAREGPT,
    TEXT,
    Chosen,
    format_name,
)
from groundup.data.messages import (
    ASSISTANT,
    SYSTEM,
    USER,
    WHO,
    RecordError,
    Turn,
    content_text,
    in_order,
    listed,
    turns_of,
    type_name,
)
from groundup.data.reading_log import ReadingLog

SPEAKERS = {"Human": USER, "Assistant": ASSISTANT}
SPOKEN = re.compile(rf"(?:^|\n\n)({'|'.join(SPEAKERS)}):")
"""How Anthropic's records of preferences (HH-RLHF) say who speaks, in one string."""


def entry_of(record: Any, chosen: Chosen, where: str, log: ReadingLog) -> Entry:
    """Return what a record says; one that cannot be used is a `DataError`."""
    if isinstance(record, DataError):
        raise record
    reader = _Record(record, chosen, where)
    if chosen.format == TEXT:
        return PlainText(reader.plain_text(), where)
    if not isinstance(record, dict | list):
        raise reader.other_format(f"the record is {type_name(record)}")
    if chosen.format == PREFERENCE:
        return _preference(reader, where, log)
    return Dialogue(in_order([*reader.asked(), *reader.replied()], where, log), where)


class _Record:
    """The parts of one record, by the fields that were chosen."""

    def __init__(self, record: Any, chosen: Chosen, where: str) -> None:
        self.fields, self.where, self.format = chosen.fields, where, chosen.format
        self._record = record

    def value(self, part: str) -> Any:
        """Return what is in the field of a part; None where there is no such field."""
        field = self.fields.get(part)
        return None if field is None or isinstance(self._record, list) else self._record.get(field)

    def other_format(self, what: str, kind: str = "records of another form") -> RecordError:
        """Return the error for a record that lacks what its format needs."""
        found = format_name(self._record) or (TEXT if self._may_be_text() else None)
        if found is not None and found != self.format:
            return RecordError(
                self.where,
                f"a record of the format {found}, but the file is read as {self.format}",
                "records of another format",
                "divide the file, one format in each",
            )
        return RecordError(
            self.where,
            f"{what}; expected {EXAMPLES[self.format]}",
            kind,
        )

    def _without(self, field: str) -> RecordError:
        what = f"the field '{field}' is missing or null"
        return self.other_format(what, f"records without '{field}'")

    def _may_be_text(self) -> bool:
        if isinstance(self._record, dict):
            fields = {*self.fields.values()} & self._record.keys()
            return not fields and isinstance(self._record.get("text"), str)
        return isinstance(self._record, str)

    def plain_text(self) -> str:
        """Return the text of a record of a text."""
        if isinstance(self._record, str):
            text = content_text(self._record, "the text", self.where)
        elif not isinstance(self._record, dict):
            raise self.other_format(f"the record is {type_name(self._record)}")
        else:
            text = self._text("text")
        if not text.strip():
            raise RecordError(self.where, "the text is empty", "records with an empty text")
        return text

    def _text(self, part: str) -> str:
        """Return the string in a field that the format needs."""
        if self.value(part) is None:
            raise self._without(self.fields[part])
        return content_text(self.value(part), self._place(part), self.where)

    def _place(self, part: str) -> str:
        return f"the field '{self.fields[part]}'"

    def asked(self) -> list[Turn]:
        """Return the turns before the reply; of a chat, all of them."""
        turns = [*self.system(), *self._history()]
        if "messages" in self.fields or self.format in (MESSAGES, SHAREGPT):
            turns += self._chat()
        if "question" in self.fields:
            turns += self._question()
        return turns

    def system(self) -> list[Turn]:
        """Return the turn in a field of the system's own, none where it is blank."""
        text = "" if self.value("system") is None else self._text("system")
        return [Turn(SYSTEM, text, self._place("system"))] if text.strip() else []

    def _history(self) -> list[Turn]:
        """Return the turns in pairs of a question and a reply, as LLaMA-Factory has them."""
        turns = []
        given = self.value("history") or ()
        for pair in given if isinstance(given, list | tuple) else (given,):
            place = f"a pair in {self._place('history')}"
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                what = type_name(pair)
                what += f" of {len(pair)}" if isinstance(pair, list | tuple) else ""
                raise RecordError(
                    self.where,
                    f"{place} is {what}; expected a list of a question and a reply",
                    "records whose history is of another form",
                )
            for role, content in zip((USER, ASSISTANT), pair, strict=True):
                turns.append(Turn(role, content_text(content, place, self.where), place))
        return turns

    def _chat(self) -> list[Turn]:
        if isinstance(self._record, list):
            return turns_of(self._record, self.where)
        value = self.value("messages")
        if value is None:
            raise self._without(self.fields.get("messages", MESSAGES))
        if (messages := listed(value)) is None or isinstance(value, dict):
            raise RecordError(
                self.where,
                f"{self._place('messages')} is {type_name(value)}; expected a list of messages",
                "records whose messages are of another form",
            )
        return turns_of(messages, self.where)

    def _question(self) -> list[Turn]:
        value = self.value("question")
        if self.format in (PROMPT, PREFERENCE) and (messages := listed(value)) is not None:
            return turns_of(messages, self.where, f" of {self._place('question')}")
        question = self._text("question")
        if self.format in (PROMPT, PREFERENCE) and (turns := self._spoken("question")):
            return turns[:-1] if turns[-1] == Turn(ASSISTANT, "", turns[-1].place) else turns
        if self.value("input") is not None and question.strip():
            context = self._text("input")
            question += f"\n\n{context}" if context.strip() else ""
        return [Turn(USER, question, self._place("question"))]

    def replied(self) -> list[Turn]:
        """Return the turns of the reply; none of a chat, which has it among the others."""
        return self.reply("reply") if "reply" in self.fields else []

    def reply(self, part: str) -> list[Turn]:
        """Return what is in the field of a reply: one, or (of prompts, preferences) messages."""
        value = self.value(part)
        if self.format in (PROMPT, PREFERENCE) and (messages := listed(value)) is not None:
            if not messages:
                raise RecordError(
                    self.where, f"{self._place(part)} is empty", "records with an empty reply"
                )
            return turns_of(messages, self.where, f" of {self._place(part)}")
        return [Turn(ASSISTANT, self._text(part), self._place(part))]

    @property
    def has_question(self) -> bool:
        """Whether a record of preferences says by itself what was asked."""
        return self.value("question") is not None or self.value("messages") is not None

    def spoken(self, part: str) -> list[Turn]:
        """Return the turns of a whole dialogue: a list of messages, or a string of HH-RLHF."""
        if listed(self.value(part)) is not None:
            return self.reply(part)
        if turns := self._spoken(part):
            return turns
        raise RecordError(
            self.where,
            f"no prompt, and {self._place(part)} is no dialogue; expected a prompt, or chosen "
            "and rejected as lists of messages with a common beginning",
            "records without a prompt",
            "add it, or remove it",
        )

    def _spoken(self, part: str) -> list[Turn]:
        """Return the turns in a string that names before each who speaks, else none."""
        before, *pieces = SPOKEN.split(self._text(part))
        if before.strip():
            return []
        return [
            Turn(SPEAKERS[who], said.strip(), f"message {n} of {self._place(part)}")
            for n, (who, said) in enumerate(zip(pieces[::2], pieces[1::2], strict=True), 1)
        ]


def _preference(record: _Record, where: str, log: ReadingLog) -> Preference:
    """Return the question and the two replies; those that begin with it, too, are cut after it."""
    asked = record.asked() if record.has_question else record.system()
    said = record.reply if record.has_question else record.spoken
    chosen, rejected = said("chosen"), said("rejected")
    common = _common(chosen, rejected)
    if common:
        asked = _joined(asked, chosen[:common], where)
    _check_replies(chosen[common:], rejected[common:], where)
    messages = in_order([*asked, *chosen[common:]], where, log)
    in_order([*asked, *rejected[common:]], where, ReadingLog())
    better, worse = chosen[common].content, rejected[common].content
    if better.strip() == worse.strip():
        raise RecordError(
            where,
            "chosen and rejected are equal; expected two different replies",
            "pairs of equal replies",
        )
    return Preference(messages[:-1], better, worse, where)


def _common(chosen: list[Turn], rejected: list[Turn]) -> int:
    """Return how many turns both begin with, the last one of each left aside."""
    said = zip(chosen[:-1], rejected[:-1], strict=False)
    alike = [(one.role, one.content) == (other.role, other.content) for one, other in said]
    return [*alike, False].index(False)


def _joined(asked: list[Turn], begun: list[Turn], where: str) -> list[Turn]:
    """Return the dialogue that both replies begin with, which must hold what was asked."""
    there = [(turn.role, turn.content.strip()) for turn in begun]
    others = [turn for turn in asked if (turn.role, turn.content.strip()) not in there]
    if any(turn.role != SYSTEM for turn in others):
        raise RecordError(
            where,
            "the prompt is not what chosen and rejected begin with",
            "records whose prompt is another than that of their replies",
        )
    return [*others, *begun]


def _check_replies(chosen: list[Turn], rejected: list[Turn], where: str) -> None:
    """Raise `RecordError` unless each is one reply of the assistant."""
    if (len(chosen), len(rejected)) == (1, 1):
        for turn in (*chosen, *rejected):
            if turn.role != ASSISTANT:
                raise RecordError(
                    where,
                    f"{turn.place} is of {WHO[turn.role]}; expected a reply of the assistant",
                    "pairs that do not end with replies",
                )
        return
    raise RecordError(
        where,
        "chosen and rejected differ before their last message (from then on, chosen has "
        f"{len(chosen)} and rejected {len(rejected)}); expected one reply each",
        "pairs that differ before their last message",
    )
