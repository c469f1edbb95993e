"""Dialogues of two people, out of the package `chitchat-dataset`: BYU's Chit-Chat Challenge.

Its JSON maps ids to conversations; the `messages` of one are turns, each a list of what one of the
two sent (`text`) before the other did. Who begins is the user here, the other one the assistant.
What was sent in one turn follows each other on one line, and white space is single spaces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from zipfile import ZipFile

from groundup.base.wheels import Wheel
from groundup.data.cleaning import Documents
from groundup.data.duplicates import same_text
from groundup.data.text_fields import Records

WHEEL = Wheel(
    package="chitchat-dataset",
    version="0.9.0",
    sha256="7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e",
)
ONE_IN = 10
"""Of all first messages, so many decide that a dialogue tests."""


def dialogues(archive: ZipFile) -> Iterator[tuple[str, list[str]]]:
    """Yield the id and the messages of each conversation in which both say something.

    Those with a message of nothing but white space are left out.
    """
    conversations: dict[str, Any] = json.loads(archive.read("chitchat_dataset/dataset.json"))
    for key, conversation in conversations.items():
        turns = conversation["messages"]
        said = [" ".join(" ".join(sent["text"] for sent in turn).split()) for turn in turns]
        if len(said) > 1 and all(said):
            yield key, said


def split_of(messages: list[str]) -> str:
    """Return "test" for about a tenth of dialogues, else "train"; the first message decides.

    So dialogues that are the same, or up to the last reply, are on one side.
    """
    first = hashlib.sha256(same_text(messages[0]).encode()).digest()
    return "train" if int.from_bytes(first[:4], "big") % ONE_IN else "test"


def chitchat_records() -> Records:
    """Yield where each dialogue stands, and its record, with `messages` and `split`."""
    roles = "user", "assistant"
    with ZipFile(WHEEL.fetch()) as archive:
        for key, said in dialogues(archive):
            messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(said)]
            yield f"chitchat, {key}", {"messages": messages, "split": split_of(said)}


def chitchat_texts(archive: ZipFile) -> Documents:
    """Yield the file name and the text of each dialogue that does not test, a line a message."""
    for key, said in dialogues(archive):
        if split_of(said) == "train":
            yield f"{key}.txt", "\n".join(said) + "\n"
