"""Which format records of instructions, dialogues and preferences have: detected, or refused.

What each of the first records is, `text_fields.record_format` says, as where `train` refuses it.
All must be the same; a text is one only where none is anything else. Which of the fields of the
format are there, all these records decide together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from groundup.base.errors import DataError, UsageError, nearest, shown
from groundup.data.messages import keys_of, listed
from groundup.data.text_fields import (
    CHAT,
    CHATS,
    INSTRUCTIONS,
    PREFERENCES,
    PROMPTS,
    QUESTIONS,
    Survey,
    listed_fields,
    outermost,
    record_format,
)

ALPACA, MESSAGES, SHAREGPT, PROMPT = "alpaca", "messages", "sharegpt", "prompt-completion"
QUESTION, TEXT, PREFERENCE = "question-answer", "text", "preferences"
Parts = dict[str, tuple[str, ...]]
SYSTEM: Parts = {"system": ("system", "system_prompt")}
HISTORY: Parts = {"history": ("history",)}
FORMATS: dict[str, Parts] = {
    ALPACA: {
        **SYSTEM,
        **HISTORY,
        "question": ("instruction",),
        "input": ("input", "context"),
        "reply": ("output", "response"),
    },
    MESSAGES: {**SYSTEM, "messages": CHATS},
    SHAREGPT: {**SYSTEM, "messages": CHATS},
    PROMPT: {**SYSTEM, "question": ("prompt",), "reply": ("completion", "response")},
    QUESTION: {
        **SYSTEM,
        "question": ("question",),
        "input": ("context",),
        "reply": ("answer", "response"),
    },
    TEXT: {"text": ("text",)},
    PREFERENCE: {
        **SYSTEM,
        **HISTORY,
        "question": ("prompt", "instruction", "question"),
        "input": ("input",),
        "messages": CHATS,
        "chosen": ("chosen",),
        "rejected": ("rejected",),
    },
}
"""The parts of the records of each format, and the fields that may be each, the first of them that
is there."""
NEEDED = ("question", "reply", "messages", "text", "chosen", "rejected")
EXAMPLES = {
    ALPACA: "instruction, input, output",
    MESSAGES: "messages with role and content",
    SHAREGPT: "conversations with from and value",
    PROMPT: "prompt, completion",
    QUESTION: "question, answer",
    TEXT: "text",
    PREFERENCE: "prompt, chosen, rejected",
}
KINDS = {PREFERENCES: PREFERENCE, INSTRUCTIONS: ALPACA, PROMPTS: PROMPT, QUESTIONS: QUESTION}
SYNONYMS = {"openai": MESSAGES, "chatml": MESSAGES, "chat": MESSAGES, "dpo": PREFERENCE}
MOST_UNUSED = 6
SPLIT = "split"
SIDES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    "test": "test",
}
"""What the field `split` may say, if it is to be followed, and which side that is."""
KNOWN = {name for parts in FORMATS.values() for names in parts.values() for name in names} | {SPLIT}


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The format of the records of a source, the field of each part, and what is not used."""

    format: str
    fields: dict[str, str]
    unused: tuple[str, ...] = ()
    says_split: bool = False
    """Whether the field `split` of a record says on which side it is."""

    def __str__(self) -> str:
        unused = [shown(name, 40) for name in self.unused[:MOST_UNUSED]]
        more = ["…"] if len(self.unused) > MOST_UNUSED else []
        rest = f"; divided by {SPLIT}" if self.says_split else ""
        rest += f"; not used: {', '.join([*unused, *more])}" if unused else ""
        used = ", ".join(self.fields.values()) or "the record itself"
        return f"read as {self.format} ({used}{rest})"


def plainly_named(record: Any) -> Any:
    """Return a record in which a field such as `Question`, as spreadsheets have it, is `question`.

    That is one of our names but for its case and the space around it, and the only one of it.
    """
    if not isinstance(record, dict):
        return record
    plain = {key: key.strip().casefold() for key in record if isinstance(key, str)}
    names = list(plain.values())
    ours = {key: name for key, name in plain.items() if name in KNOWN and names.count(name) == 1}
    return {ours.get(key, key): value for key, value in record.items()}


def check_format(name: str | None) -> None:
    """Raise `UsageError` for a format that there is not."""
    if name is not None and name not in FORMATS:
        raise UsageError(
            f"--format {shown(name)}: no such format; {nearest(name, FORMATS, SYNONYMS)}"
        )


def choose_format(
    held: list[tuple[str, Any]], survey: Survey, source: str, asked: str | None
) -> Chosen:
    """Return the format of the records of `source`, the first of which are `held` and surveyed.

    Raises `DataError` where they are of several formats, or of none, and none is `asked` for.
    """
    if asked is not None:
        return _chosen(asked, survey)
    first: dict[str, str] = {}
    for where, record in held:
        if (found := format_name(record)) is not None:
            first.setdefault(found, where.removeprefix(f"{source}, "))
    if len(first) > 1:
        raise DataError(
            f"{source}: several formats in one file, {_named(first)}; expected one; divide the "
            f"file, or choose, as with --format {next(iter(first))}"
        )
    if first:
        return _unambiguous(_chosen(next(iter(first)), survey), survey, source)
    if record_format(survey) == CHAT:
        raise _unknown(survey, source)
    if survey.has_text("text") or all(isinstance(record, str) for _, record in held):
        return _chosen(TEXT, survey)
    raise _unknown(survey, source)


def _named(first: dict[str, str]) -> str:
    return " and ".join(f"{name} (first: {where})" for name, where in first.items())


def format_name(record: Any) -> str | None:
    """Return the format of one record, or None where it is none of ours, or a text."""
    if isinstance(record, DataError | str) or record is None:
        return None
    survey = Survey()
    survey.add(_begun(record))
    kind = record_format(survey)
    return chat_format(record) if kind == CHAT else KINDS.get(kind or "")


def _begun(record: Any) -> Any:
    """Return a record in which of each list only the first element is left: that is enough."""
    if isinstance(record, dict):
        return {key: v[:1] if isinstance(v, list) else v for key, v in record.items()}
    return record[:1] if isinstance(record, list) else record


def chat_format(record: Any) -> str | None:
    """Return the format of a record that holds a list of messages, or is one."""
    inside = (record.get(name) for name in CHATS) if isinstance(record, dict) else (record,)
    for messages in filter(None, map(listed, inside)):
        keys = keys_of(messages[0]) if isinstance(messages[0], dict) else None
        if keys is not None:
            return SHAREGPT if keys == ("from", "value") else MESSAGES
    return None


def _chosen(name: str, survey: Survey) -> Chosen:
    """Return which fields of a format are there; those that it needs are named in any case."""
    there = dict.fromkeys(map(outermost, survey.fields))
    fields = {}
    for part, names in FORMATS[name].items():
        found = [field for field in names if field in there]
        if part == "messages" and "question" in fields:
            continue
        if found:
            fields[part] = found[0]
        elif part in NEEDED and name != PREFERENCE and there.keys() - {""}:
            fields[part] = names[0]
    if name == PREFERENCE:
        fields |= {part: part for part in ("chosen", "rejected")}
    split = survey.in_most().get(SPLIT)
    says_split = split is not None and split.may_be_classes and _are_sides(split.values)
    used = {"", *fields.values(), *([SPLIT] if says_split else [])}
    unused = tuple(field for field in there if field not in used)
    return Chosen(format=name, fields=fields, unused=unused, says_split=says_split)


def _are_sides(values: set[str]) -> bool:
    """Whether these are sides of a split, or two sides among others: then, an other is a slip."""
    sides = {SIDES[value] for value in values if value in SIDES}
    return len(sides) > 1 or set() < values <= SIDES.keys()


def _unambiguous(chosen: Chosen, survey: Survey, source: str) -> Chosen:
    """Return what was detected, unless the records are something else just as well."""
    also = [name for name in CHATS if f"{name}[].role" in survey.in_most()]
    also += [name for name in CHATS if f"{name}[].from" in survey.in_most()]
    if chosen.format in (ALPACA, PROMPT, QUESTION) and also:
        raise DataError(
            f"{source}: its records are {chosen.format} ({', '.join(chosen.fields.values())}) and "
            f"chats ({also[0]}) at once; choose, as with --format {chosen.format} or --format "
            f"{SHAREGPT if f'{also[0]}[].from' in survey.fields else MESSAGES}"
        )
    label = survey.fields.get("label")
    said = {value.casefold() for value in label.values} if label else set[str]()
    if chosen.format == PROMPT and said and said <= {"true", "false"}:
        raise DataError(
            f"{source}: prompt, completion and a label of true or false, as of replies that are "
            "judged one by one; expected replies to learn; keep the good ones and remove the "
            f"label, or take all with --format {PROMPT}"
        )
    return chosen


def _unknown(survey: Survey, source: str) -> DataError:
    found = listed_fields(survey)
    known = ", ".join(f"{name} ({fields})" for name, fields in EXAMPLES.items())
    if any(name in survey.fields for name in ("role", "from")):
        return DataError(
            f"{source}: each record is one message ({found}); expected a dialogue in each, such as "
            '{"messages": [{"role": "user", "content": "…"}, …]}; put its messages into one list'
        )
    printed = [name for name in CHATS if name in survey.fields and survey.has_text(name)]
    if printed and survey.fields[printed[0]].holds(printed[0]) == "JSON":
        raise DataError(
            f"{source}: the field '{printed[0]}' holds no messages in JSON, perhaps lists as "
            'Python prints them; expected [{"role": "user", "content": "…"}, …]; write them with '
            "json.dumps"
        )
    if any(name.startswith("mapping.") for name in survey.fields):
        return DataError(
            f"{source}: each record is a tree of messages (mapping), as ChatGPT exports them; "
            'expected a dialogue in each, such as {"messages": [{"role": "user", "content": "…"}, '
            "…]}; write those from the root to current_node into such a list"
        )
    return DataError(
        f"{source}: records of no known format ({found}); expected one of: {known}; rename the "
        "fields"
    )
