"""What the tests of dialogues share: records of each format, and short ways to prepare them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from groundup.data.dialogue_folder import DialogueData
from groundup.data.dialogues import prepare_dialogues
from tests.data.labelling import jsonl

Record = dict[str, Any]


def said(*contents: str, first: str = "user") -> list[dict[str, str]]:
    """Return messages of the user and the assistant in turns."""
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)]


def shared(*contents: str) -> list[dict[str, str]]:
    """Return the same as ShareGPT has it."""
    roles = {"user": "human", "assistant": "gpt"}
    return [{"from": roles[m["role"]], "value": m["content"]} for m in said(*contents)]


RECORDS: dict[str, Callable[[int], Record]] = {
    "alpaca": lambda n: {"instruction": f"Double {n}.", "input": "", "output": str(2 * n)},
    "messages": lambda n: {"messages": said(f"Double {n}.", str(2 * n))},
    "sharegpt": lambda n: {"conversations": shared(f"Double {n}.", str(2 * n))},
    "prompt-completion": lambda n: {"prompt": f"Double {n}.", "completion": str(2 * n)},
    "question-answer": lambda n: {"question": f"Double {n}.", "answer": str(2 * n)},
    "text": lambda n: {"text": f"The double of {n} is {2 * n}."},
    "preferences": lambda n: {
        "prompt": f"Double {n}.",
        "chosen": str(2 * n),
        "rejected": str(3 * n + 1),
    },
}
"""A record of each format; all but texts and preferences say the same."""


def records(name: str, n: int = 12) -> list[Record]:
    return [RECORDS[name](k) for k in range(n)]


def prepared(folder: Path, *given: Any, **options: Any) -> DialogueData:
    """Write records into a file and prepare it."""
    path = folder / "a.jsonl"
    path.write_text(jsonl(*given))
    return prepare_dialogues([str(path)], folder / "data", **options)


def sides(data: DialogueData) -> dict[str, str]:
    """Return the split of each entry, by its first words."""
    found = {}
    for split in ("train", "val", "test"):
        for text in data.texts(split):
            found[text.text] = split
        asked = [entry.messages for entry in data.dialogues(split)]
        asked += [entry.messages for entry in data.preferences(split)]
        found |= {messages[0]["content"]: split for messages in asked}
    return found


def contents(messages: tuple[dict[str, str], ...]) -> str:
    """Return messages in short: u:question a:reply."""
    return " ".join(f"{message['role'][0]}:{message['content']}" for message in messages)
