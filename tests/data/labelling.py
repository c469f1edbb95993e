"""What the tests of labelled records share: examples, and short ways to write and prepare them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundup.data.examples import Example
from groundup.data.labelled import prepare_labelled
from groundup.data.labelled_folder import LabelledData

Row = Sequence[str]


def csv_rows(*rows: Row, header: str = "label,text") -> str:
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


def messages(n: int, labels: Sequence[str] = ("ham", "spam")) -> list[tuple[str, str]]:
    """Return n rows of a label and a text, the labels in turn, the texts all different."""
    return [(labels[k % len(labels)], f"message number {k} says so") for k in range(n)]


def jsonl(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def examples(*rows: tuple[str, ...]) -> list[Example]:
    """Return examples of (text, label) or (text, label, group)."""
    return [
        Example(row[0], row[1], row[2] if len(row) > 2 else None, f"a.csv, record {number}")
        for number, row in enumerate(rows, 1)
    ]


def prepared(folder: Path, text: str, name: str = "a.csv", **options: Any) -> LabelledData:
    """Write `text` into a file and prepare it."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return prepare_labelled([str(path)], folder / "data", **options)


def sides(data: LabelledData) -> dict[str, str]:
    """Return the split in which each text is."""
    return {e.text: split for split in ("train", "val", "test") for e in data.examples(split)}
