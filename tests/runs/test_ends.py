"""What metrics come to, from a few of their lines as from all."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from groundup.runs import ends
from groundup.runs.ends import Ends, ends_of, read_ends
from groundup.runs.metrics import read_lines

KINDS: list[dict[str, Any]] = [
    {"train_loss": 2.5},
    {"val_loss": 2.25, "val_perplexity": 9.0},
    {"val_loss": "nan"},
    {"val_loss": None},
    {"val_loss": 1.5, "event": "finished"},
    {"event": "skipped", "reason": "a loss"},
]
QUOTED = {"train_loss": 2.5, "reason": 'a \\, a \u2028, and the words "val_loss"'}
ODD = [b"", b"{}", b"no record", b'{"step": 7, "val_loss": 0.1', b'{"val_loss": 0.1}',
       b'{"step": null, "val_loss": 0.1}',
       b'{"step": "8", "val_loss": 1.25}', b'{"step": 3, "val_loss": 0.75}']  # fmt: skip


def lines(draw: random.Random, n: int, odd: float, kinds: list[dict[str, Any]]) -> list[bytes]:
    """Return lines as a trainer writes them, with some others between them."""
    found, step = [], 0
    for _ in range(n):
        step += draw.choice([0, 1, 1, 20])
        record = {"step": step, "seconds": 0.5} | draw.choice(kinds)
        if isinstance(record.get("val_loss"), float):
            record["val_loss"] += draw.random()
        found.append(json.dumps(record, ensure_ascii=False).encode())
        if draw.random() < odd:
            found.append(draw.choice(ODD))
    return found


@pytest.mark.parametrize("odd", [0.0, 0.02, 0.3])
def test_a_few_lines_tell_what_all_do(
    odd: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    for seed in range(60):
        draw = random.Random(seed)
        kinds = [*KINDS, QUOTED] if seed % 3 == 0 else KINDS
        text = b"\n".join(lines(draw, draw.randrange(60), odd, kinds)) + draw.choice([b"", b"\n"])
        path.write_bytes(text)
        monkeypatch.setattr(ends, "BLOCK", draw.choice([1, 100, 1000, 1 << 20]))
        assert read_ends(path) == ends_of(read_lines(path)), (seed, text.decode())


def test_a_key_may_be_written_in_another_way(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 6, "val_loss": 2.0}\n{"step":7,"val\\u005floss":1.0}\n')
    assert read_ends(path) == Ends(7, 1.0, {"step": 7, "val_loss": 1.0})


def test_only_a_few_lines_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "metrics.jsonl", []

    def noting(line: bytes) -> Any:
        seen.append(line)
        return json.loads(line)

    records = [{"step": step, "train_loss": 1.0} for step in range(500)]
    records[::100] = [{"step": step, "val_loss": 500.0 - step} for step in range(0, 500, 100)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    monkeypatch.setattr(ends, "parsed", noting)
    assert read_ends(path) == Ends(499, 100.0, records[-1])
    assert len(seen) == 6


def test_no_file_no_lines(tmp_path: Path) -> None:
    assert read_ends(tmp_path / "absent") == Ends(0, None, {})
