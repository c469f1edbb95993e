"""A text that goes on being learnt: how much of it, from where, and that it is found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup import ByteTokenizer
from groundup.base.errors import DataError, UsageError
from groundup.data import TokenSplit
from groundup.finetune.assistant.mixed_text import MixedText
from groundup.finetune.assistant.packing import PackedRows
from groundup.finetune.assistant.request import recorded_instruct
from groundup.finetune.replies.run import InstructRun
from groundup.generate.replies import DialogueIds
from groundup.runs import RunFolder
from tests.finetune.asking import Told
from tests.finetune.instructing import carry_out, request, train, with_base, with_records

TOKENS = TokenSplit.from_array(np.arange(1000) % 251, 1000)


@pytest.mark.parametrize("start", [None, 7])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_its_share_is_right_to_a_row_and_all_is_read_before_any_comes_again(
    share: float, start: int | None
) -> None:
    text = MixedText(TOKENS, 20, 700, share, seed=1, start=start)
    n = text.n_targets
    assert abs(n - share * (n + 700)) <= 20
    assert text.n_windows == 50
    readings = [[text.row(50 * i + k) for k in range(50)] for i in range(2)]
    orders = [[row.ids.tolist() for row in rows] for rows in readings]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    for row in readings[0]:
        assert len(row.ids) == 21
        assert row.n_targets == 20
        assert row.ids[0] == start or start is None
    begins = [*range(0, 980, 20), 979]  # the last one ends with the text
    n_read = 20 if start is not None else 21
    own = sorted(row[start is not None :] for row in orders[0])
    assert own == sorted(TOKENS.read(at, n_read).tolist() for at in begins)
    other = MixedText(TOKENS, 20, 700, share, seed=2, start=start)
    assert [other.row(k).ids.tolist() for k in range(50)] != orders[0]


def test_of_a_text_that_is_too_short_all_is_taken_and_of_no_share_nothing() -> None:
    assert MixedText(TOKENS, 20, 10_000, 0.5).n_rows == 50
    assert MixedText(TOKENS, 20, 700, 0.0).n_rows == 0
    few = MixedText(TokenSplit.from_array(np.arange(8), 8), 20, 700, 0.5)
    assert (few.n_rows, few.n_targets) == (1, 7)
    assert few.row(5).ids.tolist() == [*range(8)]
    for n in (0, 1):
        assert MixedText(TokenSplit.from_array(np.arange(n), n), 20, 700, 0.5).n_targets == 0


@pytest.mark.parametrize("start", [None, 7])
def test_beside_few_replies_a_shorter_row_has_their_share(start: int | None) -> None:
    text = MixedText(TOKENS, 512, 64, 0.2, start=start)
    assert (text.n_rows, text.n_targets, text.row(3).n_targets) == (1, 16, 16)
    assert MixedText(TOKENS, 512, 1, 0.2, start=start).n_rows == 0  # less than half a token


def test_rows_are_other_ones_in_each_pass_beside_the_same_dialogues() -> None:
    counts = np.array([False, False, True, True])
    dialogues = [DialogueIds(np.array([n, 1, 2, 3], np.uint32), counts, 0) for n in range(300, 306)]
    text = MixedText(TOKENS, 6, 12, 0.5, seed=1)
    source = PackedRows(dialogues, 6, 3, seed=1, mixed=text)
    assert (text.n_rows, source.n_rows, source.n_targets) == (2, 3 + 2, 12 + 12)
    passes = []
    for turn in range(2):
        batches = [source.rows(5 * turn, 3), source.rows(5 * turn + 3, 2)]
        rows = [row.tolist() for one in batches for row in one.arrays["tokens"]]
        passes.append(
            (sorted(r for r in rows if max(r) >= 300), sorted(r for r in rows if max(r) < 300))
        )
    assert passes[0][0] == passes[1][0]
    expected = [[text.row(2 * turn + k).ids[:-1].tolist() for k in range(2)] for turn in range(2)]
    assert [one[1] for one in passes] == [sorted(rows) for rows in expected]
    assert passes[0][1] != passes[1][1]


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
    assert " tokens of text.txt a pass, other ones each time, in " in line
    share = float(line.partition(": ")[2].rpartition(": ")[2].partition("%")[0])
    assert share == pytest.approx(40, abs=4)
    Path("text.txt").unlink()
    (folder / "records.jsonl").unlink()
    done = carry_out(recorded_instruct(RunFolder(folder / "run"), extend=6))
    assert (done.progress.step, done.progress.finished) == (6, True)
    (shard,) = folder.glob("data/*/train-*.bin")
    shard.write_bytes(bytes(len(shard.read_bytes())))
    with pytest.raises(DataError, match="SHA-256"):
        carry_out(recorded_instruct(RunFolder(folder / "run"), extend=8))


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
    assert job.mixed is not None
    rows = [job.mixed.row(number) for number in range(job.mixed.n_windows)]
    texts = [ByteTokenizer().decode(row.ids[1:].tolist()) for row in rows]
    assert {int(row.ids[0]) for row in rows} == {3}
    written = Path("text.txt").read_text()
    parts = [part for text in texts for part in text.split("<|endoftext|>") if part]
    assert parts
    assert all(part in written for part in parts)
    assert all(row.counts[1:].all() for row in rows)


def test_a_text_too_short_for_its_share_is_told(folder: Path) -> None:
    Path("text.txt").write_text("only a few words, which are not enough. " * 4)
    told = Told()
    asked = request(folder / "run", **mixing(folder, mix_share=0.9))
    InstructRun(asked).prepare(told)
    assert any("text.txt has no more tokens to learn from" in line for line in told.lines)
