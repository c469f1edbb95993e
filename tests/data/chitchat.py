"""The dialogues of the package `chitchat-dataset` (BYU's Chit-Chat Challenge, MIT) as `messages`.

Its JSON maps ids to conversations of two people: `messages` is a list of turns, each a list of what
one of them sent before the other did (`text`, `timestamp`, `sender`). Here who begins is the user,
the other one the assistant, and what was sent in one turn follows each other on lines.
"""

from __future__ import annotations

import json
from typing import Any
from zipfile import ZipFile

from groundup.base.wheels import Wheel

WHEEL = Wheel(
    package="chitchat-dataset",
    version="0.9.0",
    sha256="7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e",
)


def chitchat() -> list[dict[str, Any]]:
    """Return a record for each conversation in which both say something."""
    with ZipFile(WHEEL.fetch()) as archive:
        conversations = json.loads(archive.read("chitchat_dataset/dataset.json"))
    return [
        {"messages": [_message(n, turn) for n, turn in enumerate(turns)]}
        for turns in (conversation["messages"] for conversation in conversations.values())
        if len(turns) > 1
    ]


def _message(number: int, turn: list[dict[str, str]]) -> dict[str, str]:
    role = ("user", "assistant")[number % 2]
    return {"role": role, "content": "\n".join(sent["text"] for sent in turn)}
