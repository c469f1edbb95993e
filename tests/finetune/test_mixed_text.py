"""A text that goes on being learnt: how much of it, from where, and that it is found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup import ByteTokenizer
from groundup.base.errors import UsageError
from groundup.data import TokenSplit
from groundup.finetune.assistant.mixed_text import mixed_rows, targets_of
from groundup.finetune.assistant.request import recorded_instruct
from groundup.finetune.replies.run import InstructRun
from groundup.runs import RunFolder
from groundup.train.listener import Screen
from tests.finetune.instructing import carry_out, request, train, with_base, with_records

TOKENS = TokenSplit.from_array(np.arange(1000) % 251, 1000)


class Told(Screen):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def decided(self, label: str, text: str) -> None:
        self.lines.append(f"{label}: {text}")

    def notice(self, text: str) -> None:
        self.lines.append(f"Notice: {text}")


@pytest.mark.parametrize("start", [None, 7])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_its_share_is_right_to_a_row_and_it_is_spread_over_the_text(
    share: float, start: int | None
) -> None:
    rows = mixed_rows(TOKENS, 20, 700, share, start)
    n = targets_of(rows)
    assert abs(n - share * (n + 700)) <= 20
    begins = []
    for row in rows:
        own = row.ids[start is not None :].tolist()[:20]
        assert len(own) == 20
        assert len(row.ids) == 21 or own[-1] == TOKENS.read(999, 1)[0]
        assert row.ids[0] == start or start is None
        begins += [at for at in range(0, 1000, 20) if TOKENS.read(at, len(own)).tolist() == own][:1]
    assert len(begins) == len(rows)
    gaps = np.diff(sorted(begins))
    assert len(rows) == 2 or gaps.max() - gaps.min() <= 20


def test_of_a_text_that_is_too_short_all_is_taken_and_of_no_share_nothing() -> None:
    rows = mixed_rows(TOKENS, 20, 10_000, 0.5)
    assert np.concatenate([row.ids[1:] for row in rows]).tolist() == [
        int(token) for token in TOKENS.read(1, 999)
    ]
    assert mixed_rows(TOKENS, 20, 700, 0.0) == []


@pytest.mark.parametrize("start", [None, 7])
def test_beside_few_replies_a_shorter_row_has_their_share(start: int | None) -> None:
    rows = mixed_rows(TOKENS, 512, 64, 0.2, start)
    assert [targets_of([row]) for row in rows] == [16]
    assert mixed_rows(TOKENS, 512, 1, 0.2, start) == []  # less than half a token


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a base, records and a text."""
    monkeypatch.chdir(with_records(with_base(tmp_path, generation={"start_token": 3})))
    Path("text.txt").write_text("".join(f"line {n} of a text\n" for n in range(300)))
    return tmp_path


def mixing(folder: Path, **others: Any) -> dict[str, Any]:
    return {"steps": 4, "mix_text": "text.txt", "mix_share": 0.4, **others}


def test_it_is_told_and_goes_on_without_its_text(folder: Path) -> None:
    told = Told()
    carry_out(request(folder / "run", **mixing(folder)), told)
    (line,) = (line for line in told.lines if line.startswith("Mixed in: "))
    assert " tokens of text.txt in " in line
    share = float(line.partition(": ")[2].rpartition(": ")[2].partition("%")[0])
    assert share == pytest.approx(40, abs=4)
    Path("text.txt").unlink()
    (folder / "records.jsonl").unlink()
    done = carry_out(recorded_instruct(RunFolder(folder / "run"), extend=6))
    assert (done.progress.step, done.progress.finished) == (6, True)


def test_another_text_or_share_is_refused_by_its_key(folder: Path) -> None:
    train(folder / "run", **mixing(folder))
    with pytest.raises(UsageError, match=r"mix_share was 0\.4, now 0\.3"):
        train(folder / "run", **mixing(folder, mix_share=0.3))
    assert train(folder / "run", **mixing(folder)).was_finished
    Path("text.txt").write_text("another text, as long\n" * 300)
    with pytest.raises(UsageError, match=r"fingerprint_of_mix was .*, now "):
        train(folder / "run", **mixing(folder))


def test_a_window_is_read_as_a_text_that_begins_with_the_token_of_the_base(folder: Path) -> None:
    job = InstructRun(request(folder / "run", **mixing(folder)))
    texts = [ByteTokenizer().decode(row.ids[1:].tolist()) for row in job.mixed]
    assert {int(row.ids[0]) for row in job.mixed} == {3}
    written = Path("text.txt").read_text()
    parts = [part for text in texts for part in text.split("<|endoftext|>") if part]
    assert parts
    assert all(part in written for part in parts)
    assert all(row.counts[1:].all() for row in job.mixed)


def test_a_text_too_short_for_its_share_is_told(folder: Path) -> None:
    Path("text.txt").write_text("only a few words, which are not enough. " * 4)
    told = Told()
    asked = request(folder / "run", **mixing(folder, mix_share=0.9))
    InstructRun(asked).prepare(told)
    assert any("text.txt has no more tokens to learn from" in line for line in told.lines)
