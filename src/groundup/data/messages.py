"""From what a record says in turns to messages: roles known by many names, in their order.

What cannot be learnt from is a `RecordError`: an unknown role, tools, images, an empty message, two
of one role in a row, a dialogue that the assistant begins, one without a reply.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from groundup.base.errors import DataError, shown
from groundup.data.dialogue import Message
from groundup.data.reading_log import ReadingLog
from groundup.data.text_fields import TURNS, decoded
from groundup.data.texts import clean

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
NAMES = {
    SYSTEM: "system developer",
    USER: "user human prompter",
    ASSISTANT: "assistant gpt chatgpt bot chatbot model ai",
}
ROLES = {name: role for role, names in NAMES.items() for name in names.split()}
TOOLS = frozenset(
    """tool tools function functions function_call function_response tool_call tool_calls
    tool_response tool_result observation ipython environment""".split()  # noqa: SIM905 - a word list
)
TAGS = ("tool_calls", "function_call")
"""Fields of a message of the assistant that calls a tool."""
WHO = {SYSTEM: "the system", USER: "the user", ASSISTANT: "the assistant"}
EMPTY_SYSTEM = "empty messages of the system (the rest stays)"
UNANSWERED = "last messages of the user that no reply follows (the rest stays)"
REMOVE = "mend or remove it"


class RecordError(DataError):
    """A record that cannot be used; `kind` is what such records are called, to count them."""

    def __init__(self, where: str, what: str, kind: str, remedy: str = REMOVE) -> None:
        super().__init__(f"{where}: {what}; {remedy}")
        self.kind = kind


@dataclass(frozen=True)
class Turn:
    """Who says what, and what that part of the record is called ("message 3")."""

    role: str
    content: str
    place: str


def listed(value: Any) -> list[Any] | None:
    """Return the messages in a value that is a list of them, one of them, or JSON of either."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
        found = value if isinstance(value, list) else [value]
        return found if found and all(map(_is_turn, found)) else None
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else None


def _is_turn(value: object) -> bool:
    return isinstance(value, dict) and keys_of(value) is not None


def keys_of(message: dict[str, Any]) -> tuple[str, str] | None:
    """Return the keys under which a message says who speaks, and what."""
    return next((keys for keys in TURNS if all(key in message for key in keys)), None)


def turns_of(messages: Sequence[Any], where: str, of: str = "") -> list[Turn]:
    """Return the turns in a list of messages; `of` says which list, where there are several."""
    return [
        _turn(message, f"message {number}{of}", where) for number, message in enumerate(messages, 1)
    ]


def _turn(message: Any, place: str, where: str) -> Turn:
    if not isinstance(message, dict):
        raise RecordError(
            where,
            f"{place} is {type_name(message)}; expected an object with 'role' and 'content'",
            "records whose messages are of another form",
        )
    if any(message.get(tag) for tag in TAGS):
        raise _calls_tool(where, f"{place} calls a tool")
    if (keys := keys_of(message)) is None:
        found = shown(", ".join(map(str, message)) or "nothing", 60)
        raise RecordError(
            where,
            f"{place} has only {found}; expected 'role' and 'content', or 'from' and 'value'",
            "records whose messages are of another form",
        )
    role = _role(message[keys[0]], place, where)
    if message.get("weight") == 0:
        raise RecordError(
            where,
            f"{place} has the weight 0, but all replies of a dialogue are learnt",
            "records with messages of weight 0",
            "end the dialogue before it, or remove it",
        )
    return Turn(role, content_text(message[keys[1]], place, where), place)


def _role(name: Any, place: str, where: str) -> str:
    if isinstance(name, str) and (role := ROLES.get(name.strip().casefold())):
        return role
    if isinstance(name, str) and name.strip().casefold() in TOOLS:
        raise _calls_tool(where, f"{place} has the role {name.strip()}")
    known = ", ".join(names.split()[0] for names in NAMES.values())
    aliases = ", ".join(name for names in NAMES.values() for name in names.split()[1:])
    raise RecordError(
        where,
        f"{place} has {f'the role {shown(name, 40)}' if name else 'no role'}; expected {known} (or "
        f"{aliases})",
        "records with an unknown role",
    )


def _calls_tool(where: str, what: str) -> RecordError:
    return RecordError(
        where,
        f"{what}; calling tools is not taught here, only messages of system, user and assistant",
        "records with calls of tools",
        "remove it",
    )


def content_text(value: Any, place: str, where: str) -> str:
    """Return the content of a message: a string, or the joined text of a list of parts."""
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return "".join(_part(part, place, where) for part in value)
    text = decoded(value) if isinstance(value, bytes) else value
    if text is None and value is not None:
        raise RecordError(
            where,
            f"{place} holds bytes that are no UTF-8; expected text",
            "records with bytes that are no text",
        )
    if text is None or text != text:  # NaN differs from itself
        return ""
    if not isinstance(text, str):
        raise RecordError(
            where,
            f"{place} is {type_name(text)}; expected a string",
            "records with something else than a string",
            "write it as a string, or remove it",
        )
    return clean(text, f"{where}, {place}")


def _part(part: dict[str, Any], place: str, where: str) -> str:
    if part.get("type") == "text":
        return content_text(part.get("text"), place, where)
    raise RecordError(
        where,
        f"{place} has a part of the type {shown(part.get('type'), 40)}; only parts of the type "
        "'text' can be learnt",
        "records with images or other parts that are no text",
        "remove it",
    )


def type_name(value: object) -> str:
    """Return what a value is, in words that do not need Python."""
    if isinstance(value, bool):
        return "true or false"
    names = {dict: "an object", list: "a list", str: "a string", int: "a number", float: "a number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def in_order(turns: list[Turn], where: str, log: ReadingLog) -> tuple[Message, ...]:
    """Return the messages of a dialogue that ends with a reply.

    A system message that is empty and a last message of the user are left out, and counted in
    `log`. Anything else that is out of order or empty is a `RecordError`.
    """
    no_system = bool(turns) and turns[0].role == SYSTEM and not turns[0].content.strip()
    turns = turns[no_system:]
    unanswered = len(turns) > 1 and [t.role for t in turns[-2:]] == [ASSISTANT, USER]
    turns = turns[: len(turns) - unanswered]
    system = turns[:1] if turns and turns[0].role == SYSTEM else []
    _check_order(turns[len(system) :], where)
    if no_system:
        log.skip(EMPTY_SYSTEM, where)
    if unanswered:
        log.skip(UNANSWERED, where)
    return tuple({"role": turn.role, "content": turn.content} for turn in turns)


def _check_order(turns: list[Turn], where: str) -> None:
    before = ""
    for turn in turns:
        _check_role(turn, before, where)
        if not turn.content.strip():
            kind = "reply" if turn.role == ASSISTANT else "question"
            raise RecordError(
                where,
                f"{turn.place} is empty; expected the words of {WHO[turn.role]}",
                f"records with an empty {kind}",
                "fill it in, or remove it",
            )
        before = turn.role
    if before != ASSISTANT:
        only = "a question, but no reply" if turns else "no question and no reply"
        raise RecordError(
            where,
            f"{only}; expected both",
            "records without a reply",
            "add it, or remove it",
        )


def _check_role(turn: Turn, before: str, where: str) -> None:
    out_of_order = "records with roles out of order"
    if turn.role == SYSTEM:
        raise RecordError(
            where, f"{turn.place} is of the system, which may only come first", out_of_order
        )
    if turn.role == before:
        raise RecordError(
            where,
            f"{turn.place} is of {WHO[turn.role]}, as the one before it; expected user and "
            "assistant in turns",
            out_of_order,
            "join the two, or remove it",
        )
    if not before and turn.role == ASSISTANT:
        raise RecordError(
            where,
            f"{turn.place} is of the assistant, but nobody asked; expected the user first",
            out_of_order,
            "begin with the question, or remove it",
        )
