"""replies.jsonl: all that an assistant was asked on its test, and replied before and after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from groundup.base.errors import RunError
from groundup.base.files import atomic_writer
from groundup.runs.metrics import read_lines
from groundup.runs.typed_json import from_json

FORMAT = 1
"""Version of each line."""


@dataclass(frozen=True, kw_only=True)
class KeptReply:
    """A test question with its replies."""

    where: str
    """Where the record stands in its file."""
    messages: tuple[dict[str, str], ...]
    """Up to the question."""
    expected: str
    after: str
    after_ended: bool
    before: str | None = None
    """By the model as it was, where that could be had."""
    before_ended: bool | None = None
    format: int = FORMAT


def write_replies(path: Path, replies: Sequence[KeptReply]) -> None:
    """Write replies.jsonl whole, a line each."""
    with atomic_writer(path) as file:
        for reply in replies:
            line = json.dumps(asdict(reply), ensure_ascii=False) + "\n"
            file.write(line.encode("utf-8", "surrogatepass"))


def read_replies(path: Path, n: int) -> list[KeptReply]:
    """Read replies.jsonl, of `n` questions; what is not as expected is a one-line `RunError`."""
    try:
        found = [from_json(KeptReply, line, FORMAT) for line in read_lines(path)]
        if len(found) != n:
            raise ValueError(f"it has {len(found)} of {n} replies")
    except ValueError as error:
        raise RunError(
            f"{path}: expected the replies of an assistant, but {error}; remove the file, and the "
            "same 'groundup finetune instruct' command writes it again"
        ) from error
    return found
