"""Token shards that are changed while they are read: noticed, named, and nobody dies of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from groundup.base.errors import DataError
from groundup.data import Batches, open_tokens, prepare
from groundup.data.tokens import TokenSplit
from tests.texts import text_file

LENGTH = 16


@pytest.fixture(params=[1 << 20, 1000], ids=["one shard", "many"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    text = text_file(tmp_path, 300)
    out = tmp_path / "data"
    return prepare([str(text)], "bytes", 0, out, shard_tokens=request.param).folder


def reads(split: TokenSplit) -> list[Callable[[], object]]:
    starts = np.arange(0, split.n_tokens - LENGTH, LENGTH)
    return [
        lambda: split.windows(starts, LENGTH),
        lambda: [split.read(start, LENGTH) for start in starts.tolist()],
    ]


def cut_short(path: Path) -> None:
    os.truncate(path, 100)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def overwrite(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("change", [cut_short, lengthen, overwrite])
def test_a_changed_shard_is_named(change: Callable[[Path], None], folder: Path) -> None:
    split = open_tokens(folder, "train")
    for read in reads(split):
        read()
    changed = sorted(folder.glob("train-*.bin"))[-1]
    change(changed)
    for read in reads(split):
        with pytest.raises(DataError, match="changed while it was read") as caught:
            read()
        assert str(changed) in str(caught.value)
        assert "run 'groundup data prepare' again" in str(caught.value)


def test_a_change_while_tokens_are_copied_is_noticed_before_they_are_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = open_tokens(folder, "train")
    genuine = TokenSplit._windows_of

    def copy(self: TokenSplit, starts: np.ndarray, length: int) -> np.ndarray:
        windows: np.ndarray = genuine(self, starts, length)
        overwrite(sorted(folder.glob("train-*.bin"))[0])
        return windows

    monkeypatch.setattr(TokenSplit, "_windows_of", copy)
    with pytest.raises(DataError, match="changed while it was read"):
        Batches(split, LENGTH, 2000, seed=1).batch(0)


def test_what_changes_no_token_disturbs_nobody(folder: Path) -> None:
    split = open_tokens(folder, "train")
    first = sorted(folder.glob("train-*.bin"))[0]
    expected = split.read(0, split.n_tokens).copy()
    first.write_bytes(first.read_bytes())
    os.utime(first, ns=(1, 1))
    assert (split.read(0, split.n_tokens) == expected).all()
    shutil.copy(first, folder / "copy")
    overwrite(folder / "copy")
    (folder / "copy").rename(first)  # another file: what is mapped is the former one
    assert (split.read(0, split.n_tokens) == expected).all()
    first.unlink()
    assert (split.read(0, split.n_tokens) == expected).all()
