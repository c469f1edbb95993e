"""Which field of a file's records is the text: decided by its first records, or refused.

The rule, where records are objects:

1. The field `text`, if any of the records looked at has a string there that is not blank.
2. Chats, instructions, preferences and tokens are refused by name: no one field is their text.
3. Else the only field with strings in most records, setting aside those that hold ids, numbers,
   links, labels or JSON, or are called like these. It must not be called so itself, what is nested
   in another may not hold more text, and `text` may not be there as something else than a string.
4. Else a refusal that lists the fields.

What is looked at is the first 10,000 records, or fewer that take 32 MiB, or fewer where rule 1
decides. So every pass over a file decides alike, in bounded memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from groundup.base.errors import DataError, shown

Records = Iterator[tuple[str, Any]]
"""Where it stands ("data.jsonl, line 3"), and what it is: a `DataError` where it is broken."""

Parts = Iterator[tuple[str, Any, int]]

MOST_RECORDS = 10_000
LARGEST_SAMPLE = 32 << 20  # bytes
VALUE_SIZE = 64  # what a value takes in memory beside its characters
MOST_FIELDS = 20_000  # some files have ids as keys
MOST_ELEMENTS = 1_000  # of a list
JUDGED = 1_000  # values of a field that are compared with the patterns
MOST_LABELS = 50
FRACTION = re.compile(r"[-+]?\d*\.\d*[1-9]\d*(e[-+]?\d+)?", re.IGNORECASE)
NOT_TEXT = {
    "links": re.compile(r"(?:\w+://|www\.|mailto:)\S+"),
    "numbers": re.compile(r"(?=.*\d)[-+\d.,:/% TZeE]+"),
    "ids": re.compile(r"(?=\S*[\d/\\@_:=#.])[!-~]*[A-Za-z0-9+/=]"),  # base64 too
    "JSON": re.compile(r"\{.*\}|\[.*\]", re.DOTALL),
}
NAMES_OF_OTHERS = frozenset(
    """id ids uuid guid hash sha sha1 sha256 md5 index idx label labels category tag tags split
    subset lang language locale url uri link href domain path filename date timestamp license
    licence""".split()  # noqa: SIM905 - a word list
)
PREFERENCES, INSTRUCTIONS = "preferences", "instructions with answers (Alpaca)"
PROMPTS, QUESTIONS, CHAT = "prompts with completions", "questions with answers", "chats"
FORMATS = {
    PREFERENCES: (("chosen", "rejected"),),
    INSTRUCTIONS: (("instruction", "output"), ("instruction", "response")),
    PROMPTS: (("prompt", "completion"), ("prompt", "response")),
    QUESTIONS: (("question", "answer"), ("question", "answers"), ("question", "response")),
}
DIALOGUES = {*FORMATS, CHAT}
CHATS = ("messages", "conversations", "conversation", "dialogue", "dialog")
TURNS = (("role", "content"), ("from", "value"), ("role", "value"), ("role", "text"))
TOKENS = ("input_ids", "token_ids", "tokens", "ids", "")
WORDS = ("tokens", "words")


@dataclass
class Field:
    """What the records looked at hold in one field, nested ones as `outer.inner` and `list[]`."""

    top: bool
    n_present: int = 0
    n_texts: int = 0  # records with a string that is not blank
    characters: int = 0
    kinds: set[str] = field(default_factory=set)  # types of what is no string
    looks: Counter[str] = field(default_factory=Counter)  # which pattern the judged values match
    labels: set[str] = field(default_factory=set)  # the different values while they are few words
    labelled: bool = True
    judged: int = 0
    values: set[str] = field(default_factory=set)  # of all looked at, while they may be classes
    may_be_classes: bool = True

    def note(self, value: Any) -> None:
        """Keep a value of any type among what may be classes: few, short, no fractions."""
        text = str(value).strip() if isinstance(value, str | int | float) else ""
        self.may_be_classes = (
            self.may_be_classes
            and isinstance(value, str | int | float)
            and len(self.values) <= MOST_LABELS
            and len(text) <= 40
            and len(text.split(None, 3)) <= 3
            and FRACTION.fullmatch(text) is None
        )
        if self.may_be_classes and text:
            self.values.add(text)

    def judge(self, value: str) -> None:
        """Compare one value with what ids, links and labels look like."""
        self.judged += 1
        value = value.strip()
        start = value if value[0] in "[{" else value[:1000]
        matches = (look for look, pattern in NOT_TEXT.items() if pattern.fullmatch(start))
        self.looks[next(matches, "text")] += 1
        self.labelled = (
            self.labelled
            and len(value) <= 40
            and len(value.split(None, 3)) <= 3
            and len(self.labels) <= MOST_LABELS
        )
        if self.labelled:
            self.labels.add(value)

    def holds(self, name: str) -> str:
        """Return "text" or what else it holds, in a word."""
        if not self.n_texts:
            return ", ".join(sorted(self.kinds)) or "blank"
        others = Counter({look: n for look, n in self.looks.items() if look != "text"})
        if others.total() >= 0.9 * self.judged:
            return others.most_common(1)[0][0]
        if self.labelled and len(self.labels) <= self.judged / 2:
            return "labels"
        brief = self.characters <= 100 * self.n_texts
        return "labels" if brief and called_like_others(name) else "text"


def called_like_others(name: str) -> bool:
    """Say whether a field is called like ids, labels or links: `doc_id`, `sourceUrl`, `lang`."""
    words = re.findall(r"[A-Z]*[a-z0-9]+|[A-Z]+", name)
    return bool(words) and words[-1].lower() in NAMES_OF_OTHERS


class Survey:
    """Counts what the first records of a file hold, field by field."""

    def __init__(self) -> None:
        self.fields: dict[str, Field] = {}
        self.n_seen = 0
        self.n_records = 0  # that are neither strings nor broken
        self.size = 0  # in bytes, about

    def add_until(self, records: Records, wanted: str | None = None) -> list[tuple[str, Any]]:
        """Take records until one has a text in the field `wanted`, or enough were seen."""
        held = []
        for item in records:
            held.append(item)
            self.add(item[1])
            if self.full or (wanted is not None and self.has_text(wanted)):
                break
        return held

    def add(self, record: Any) -> None:
        """Count one more record; a `DataError` in its place is a broken one."""
        self.n_seen += 1
        if isinstance(record, str):
            self.size += VALUE_SIZE + len(record)
        elif not isinstance(record, DataError):
            self.n_records += 1
            self._count(record)

    def _count(self, record: Any) -> None:
        present, texts = set(), set()
        outer = record if isinstance(record, dict) else ()
        for name, value, weight in _parts(record):
            text = value if isinstance(value, str) else decoded(value)
            self.size += weight * (VALUE_SIZE + len(text or ""))
            if name not in self.fields and len(self.fields) == MOST_FIELDS:
                continue
            found = self.fields.setdefault(name, Field(top=name in outer))
            present.add(name)
            found.note(value if text is None else text)
            if text is None:
                found.kinds.add(type(value).__name__)
            elif text and not text.isspace():
                texts.add(name)
                found.characters += weight * len(text)
                if found.judged < JUDGED:
                    found.judge(text)
        for name in present:
            self.fields[name].n_present += 1
        for name in texts:
            self.fields[name].n_texts += 1

    @property
    def full(self) -> bool:
        """Whether enough was seen."""
        return self.n_seen >= MOST_RECORDS or self.size >= LARGEST_SAMPLE

    def has_text(self, name: str) -> bool:
        """Say whether any record has a text in this field."""
        return name in self.fields and self.fields[name].n_texts > 0

    def without(self, *names: str | None) -> Survey:
        """Return the same survey of records that lack some fields."""
        rest = Survey()
        rest.n_seen, rest.n_records, rest.size = self.n_seen, self.n_records, self.size
        rest.fields = {name: found for name, found in self.fields.items() if name not in names}
        return rest

    def in_most(self) -> dict[str, Field]:
        """Return the fields that more than half of the records have."""
        return {n: f for n, f in self.fields.items() if 2 * f.n_present > self.n_records}


def _parts(record: Any) -> Parts:
    """Yield the name of each value in a record that is not null, it, and for how many it stands."""
    outer = record.items() if isinstance(record, dict) else [("", record)]
    stack: list[Parts] = [((name, value, 1) for name, value in outer)]
    while stack:
        for name, value, weight in stack[-1]:
            if value and isinstance(value, dict | list):
                stack.append(_inside(name, value, weight))
                break
            if value is not None:
                yield name, value, weight
        else:
            stack.pop()


def _inside(name: str, value: dict[str, Any] | list[Any], weight: int) -> Parts:
    """Yield the same of what is in an object or a list; of a long one, some thousand elements."""
    if isinstance(value, dict):
        for inner, item in value.items():
            yield f"{name}.{inner}", item, weight
        return
    inner, step = f"{name}[]", 1 + len(value) // MOST_ELEMENTS
    for item in value[::step]:
        yield inner, item, weight * step


def decoded(value: Any) -> str | None:
    """Return the text in bytes that are UTF-8, or None for anything else."""
    if not isinstance(value, bytes) or b"\0" in value:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def look_up(record: dict[str, Any], name: str) -> Any:
    """Return the value of a field, where `a.b` is b in the object a; None if it is not there."""
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def choose_field(survey: Survey, name: str, text_field: str | None) -> str:
    """Return the field that is the text of the file `name`, or raise `DataError`.

    A `text_field` that is given must hold a text in one of the records.
    """
    if (found := find_field(survey, text_field)) is not None:
        return found
    listed = listed_fields(survey)
    if text_field is not None:
        raise DataError(
            f"{name}: no text in the field '{shown(text_field)}' in any of {survey.n_seen:,} "
            f"records; found {listed}; choose another with --text-field"
        )
    cut = any(survey.has_text(f"{words}[]") for words in WORDS)
    if kind := record_format(survey) or ("texts cut into words" if cut else None):
        takes = " ('groundup finetune instruct' takes such records)" if kind in DIALOGUES else ""
        raise DataError(
            f"{name}: its records are {kind} ({listed}), but plain text is expected; write each as "
            "one string in a field 'text', or name a field that is plain text with --text-field"
            f"{takes}"
        )
    texts = [n for n, f in survey.fields.items() if f.holds(n) == "text" and "[]" not in n]
    such = max(texts, key=lambda n: survey.fields[n].characters, default="NAME")
    raise DataError(
        f"{name}: which field is the text? expected a field 'text', or one only that holds texts, "
        f"but found {listed}; choose, as with --text-field {shown(such)}, or write each text as a "
        "string into a field 'text'"
    )


def find_field(survey: Survey, text_field: str | None = None) -> str | None:
    """Return the field that is the text by the rule above, or None where it does not decide."""
    wanted = text_field or "text"
    if survey.has_text(wanted) or not survey.n_records:
        return wanted
    if text_field is not None or record_format(survey) or _is_no_string(survey, "text"):
        return None
    texts = {n: f for n, f in survey.fields.items() if f.holds(n) == "text"}
    most = [n for n, f in texts.items() if f.top and n and 2 * f.n_texts > survey.n_records]
    if len(most) != 1 or called_like_others(most[0]):
        return None
    nested: Counter[str] = Counter()  # by the outermost field: chats may stand under their ids
    for n, f in texts.items():
        nested[outermost(n)] += 0 if f.top else f.characters
    return most[0] if texts[most[0]].characters >= max(nested.values()) else None


def outermost(name: str) -> str:
    """Return the field of the record in which a nested one stands."""
    return re.split(r"[.\[]", name, maxsplit=1)[0]


def _is_no_string(survey: Survey, name: str) -> bool:
    """Say whether most records have something in a field, but no string: a list, a number."""
    inner = (f"{name}[", f"{name}.")
    found = survey.in_most().items()
    return any((n == name and f.kinds) or n.startswith(inner) for n, f in found)


def record_format(survey: Survey) -> str | None:
    """Return what the records are, where they are known to be something else than texts."""
    most = survey.in_most()
    outer = {outermost(name) for name in most}
    for kind, sets in FORMATS.items():
        if any(outer.issuperset(names) for names in sets):
            return kind
    if any(
        _is_chat(name, most) or (name in CHATS and f.holds(name) == "JSON")
        for name, f in most.items()
    ):
        return CHAT
    tokens = (most[f"{name}[]"] for name in TOKENS if f"{name}[]" in most)
    if any(f.kinds == {"int"} for f in tokens) or ("" in most and most[""].kinds == {"int"}):
        return "tokens"
    return None


def _is_chat(name: str, most: dict[str, Field]) -> bool:
    if name.startswith(tuple(f"{chat}[]" for chat in CHATS)):
        return True
    for speaker, said in TURNS:
        before = name.removesuffix(speaker)
        is_turn = before != name and (not before or before.endswith("."))
        if is_turn and any(other.startswith(before + said) for other in most):
            return True
    return False


def listed_fields(survey: Survey) -> str:
    """Return the fields found and what they hold, in words."""
    found = [f"{shown(n, 40) or 'values'} ({f.holds(n)})" for n, f in survey.fields.items()]
    more = [f"{len(found) - 12} more"] if len(found) > 12 else []
    return ", ".join([*found[:12], *more]) or "no fields"
