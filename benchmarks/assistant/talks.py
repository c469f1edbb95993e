"""Dialogues of people, put together to any length: those of the wheel `chitchat-dataset` (MIT).

Its JSON maps ids to conversations of two; `messages` is a list of turns, each a list of what one of
them sent before the other did. Here who begins is the user. Nothing of the package is installed or
run.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from groundup.base.files import atomic_writer
from groundup.data.chitchat import WHEEL
from groundup.data.dialogue import Message
from groundup.generate.replies import DialogueIds, encode_dialogues
from groundup.generate.template import ChatTemplate
from groundup.tokenizer import Tokenizer

FILE, RECORDS = "chitchat_dataset/dataset.json", 4009
SHORTEST, LONGEST = 64, 512
"""Tokens of a dialogue that are read: one less than it has, as the last is only a target."""
AROUND = 5
"""About so many tokens a template writes around a message."""
POOL = 1600
"""Dialogues that are made, at most, of which the steps choose."""


def chitchat(work: Path) -> Path:
    """Return the conversations as JSONL with `messages`, each ended by a reply."""
    path = work / "talks.jsonl"
    if not path.exists():
        with zipfile.ZipFile(WHEEL.fetch()) as archive:
            conversations = json.loads(archive.read(FILE)).values()
        talks = [talk for one in conversations if (talk := _talk(one["messages"]))]
        if len(talks) != RECORDS:
            raise SystemExit(f"{FILE}: expected {RECORDS:,} dialogues, but got {len(talks):,}")
        write_talks(path, talks)
    return path


def _talk(turns: list[list[dict[str, str]]]) -> list[Message]:
    """Return a conversation up to its last reply; empty where a turn says nothing."""
    contents = ["\n".join(sent["text"] for sent in turn).strip() for turn in turns]
    contents = contents[: len(contents) // 2 * 2]
    return [_said(n, content) for n, content in enumerate(contents)] if all(contents) else []


def _said(number: int, content: str) -> Message:
    return {"role": ("user", "assistant")[number % 2], "content": content}


def write_talks(path: Path, talks: list[list[Message]]) -> Path:
    """Write dialogues, a record each."""
    with atomic_writer(path) as file:
        file.write("".join(json.dumps({"messages": talk}) + "\n" for talk in talks).encode())
    return path


def read_talks(path: Path) -> list[list[Message]]:
    """Return the dialogues of a file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["messages"] for line in file]


def few(path: Path, n: int) -> Path:
    """Return the first `n` dialogues as a file of their own."""
    return write_talks(path.with_name(f"first-{n}-{path.name}"), read_talks(path)[:n])


def dialogues(path: Path, template: ChatTemplate, tokenizer: Tokenizer) -> list[DialogueIds]:
    """Return dialogues of `SHORTEST` to `LONGEST` tokens, about as many of each length."""
    made = list(_put_together(read_talks(path), template, tokenizer))
    encoded = encode_dialogues(template, tokenizer, made)
    return [one for one in encoded if SHORTEST <= one.n_read <= LONGEST]


def _put_together(
    talks: list[list[Message]], template: ChatTemplate, tokenizer: Tokenizer
) -> Iterator[list[Message]]:
    """Yield questions with their replies, side by side as they come, up to about a length each.

    The lengths go through all that there are in an order that is spread over them. What fits into
    none of them is left out.
    """
    empty = next(encode_dialogues(template, tokenizer, [[_said(0, "a"), _said(1, "a")]]))
    overhead = len(empty.ids) - 2 * AROUND
    n_made, talk, left = 0, list[Message](), 0
    for messages in (one[n : n + 2] for one in talks for n in range(0, len(one), 2)):
        n = sum(len(tokenizer.encode_array(each["content"])) + AROUND for each in messages)
        if talk and n > left:
            yield talk
            n_made, talk = n_made + 1, []
            if n_made == POOL:
                return
        if not talk:
            left = _length(n_made) - overhead
        if n <= left:
            talk, left = talk + messages, left - n


def _length(number: int) -> int:
    """Return the most tokens of a dialogue: all lengths in turn, far from those before."""
    return SHORTEST + number * 173 % (LONGEST - SHORTEST + 1)
