"""A text that is edited in place while it is read: its tokens never stand under another's name."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.base.errors import DataError
from groundup.data import prepare
from groundup.data.prepare import PreparedData
from groundup.data.shards import FinishedShards
from tests.data.preparing import contents

LINES = [f"{n:03d} the quick brown fox jumps over {n * n:06d} lazy dogs" for n in range(100)]
FIRST, LAST = "000 the quick", "099 the quick"
"""In what trains and what validates, where the end of a text does."""


def plain(texts: list[str]) -> bytes:
    return "\n".join(texts).encode()


def records(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def table(texts: list[str]) -> bytes:
    return "\n".join(["text", *texts]).encode()


def packed(texts: list[str]) -> bytes:
    return gzip.compress(plain(texts), 0, mtime=0)


def zstd(texts: list[str]) -> bytes:
    found: bytes = pytest.importorskip("zstandard").compress(records(texts))
    return found


def parquet(texts: list[str]) -> bytes:
    arrow = pytest.importorskip("pyarrow")
    file = io.BytesIO()
    written = pytest.importorskip("pyarrow.parquet")
    written.write_table(arrow.table({"text": texts}), file, compression="none")
    return file.getvalue()


def archive(texts: list[str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for number, text in enumerate(texts):
            made.writestr(zipfile.ZipInfo(f"{number:03d}.txt"), text)
    return file.getvalue()


FORMS = {
    "t.txt": plain,
    "t.jsonl": records,
    "t.csv": table,
    "t.txt.gz": packed,
    "t.jsonl.zst": zstd,
    "t.parquet": parquet,
    "t.zip": archive,
}


class Text:
    """A text in a file or a folder, which can be edited with its sizes and dates unchanged."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        self.write(LINES)

    def write(self, texts: list[str]) -> None:
        if self.path.suffix:
            self._file(self.path, FORMS[self.path.name](texts))
            return
        for number, text in enumerate(texts):
            self._file(self.path / f"{number:03d}.txt", text.encode())

    def _file(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        before = path.stat()
        path.write_bytes(content)
        if before.st_size == len(content):
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def edit(self, old: str, new: str) -> None:
        self.write([line.replace(old, new) for line in LINES])


def run(text: Text, out: Path, spec: str, on: dict[str, Callable[[], None]]) -> PreparedData:
    """Prepare a text, doing something when a stage has ended for the first time."""
    todo = dict(on)

    def progress(stage: str, done: int, total: int) -> None:
        if done >= total > 0 and stage in todo:
            todo.pop(stage)()

    return prepare([str(text.path)], spec, 300, out, shard_tokens=400, progress=progress, workers=1)


def refused(text: Text, out: Path, spec: str, on: dict[str, Callable[[], None]]) -> None:
    with pytest.raises(DataError, match=r"the text changed while it was read; run the same"):
        run(text, out, spec, on)
    (folder,) = out.iterdir()
    assert [path.name for path in folder.iterdir()] == ["lock"]


@pytest.mark.parametrize("where", [FIRST, LAST])
@pytest.mark.parametrize("name", ["folder", *FORMS])
def test_an_edit_between_scan_and_encoding_is_refused(
    name: str, where: str, tmp_path: Path
) -> None:
    text = Text(tmp_path, name)
    calm = run(text, tmp_path / "calm", "bytes", {})
    refused(text, tmp_path / "out", "bytes", {"scan": lambda: text.edit(where, where.upper())})
    text.write(LINES)
    assert contents(run(text, tmp_path / "out", "bytes", {}).folder) == contents(calm.folder)
    text.edit(where, where.upper())
    assert run(text, tmp_path / "out", "bytes", {}).fingerprint != calm.fingerprint


@pytest.mark.parametrize("name", ["folder", "t.txt"])
def test_texts_that_change_places_are_refused(name: str, tmp_path: Path) -> None:
    text = Text(tmp_path, name)
    refused(text, tmp_path / "out", "bytes", {"scan": lambda: text.write(LINES[::-1])})


@pytest.mark.parametrize("name", ["folder", "t.txt"])
@pytest.mark.parametrize(("spec", "where"), [("bpe", FIRST), ("chars", FIRST), ("chars", LAST)])
def test_a_tokenizer_is_made_of_the_text_that_was_scanned(
    spec: str, where: str, name: str, tmp_path: Path
) -> None:
    text = Text(tmp_path, name)
    calm = run(text, tmp_path / "calm", spec, {})
    edit = {
        "scan": lambda: text.edit(where, where.upper()),
        "tokenizer": lambda: text.write(LINES),
    }
    if name == "folder" and where == LAST:
        edit["scan"] = lambda: text.edit("quick brown", "QUICK BROWN")  # some of all validate
    refused(text, tmp_path / "out", spec, edit)
    assert contents(run(text, tmp_path / "out", spec, {}).folder) == contents(calm.folder)


def interrupted(text: Text, out: Path, spec: str, shards: int, edit: Callable[[], None]) -> None:
    """Prepare a text that is edited after it was scanned, up to some finished shards."""
    genuine = FinishedShards.save

    def stop(finished: FinishedShards) -> None:
        genuine(finished)
        if sum(len(entry["shards"]) for entry in finished.splits.values()) == shards:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FinishedShards, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            run(text, out, spec, {"scan": edit})


@pytest.mark.parametrize("name", ["folder", "t.txt"])
@pytest.mark.parametrize("shards", [1, 3, 13])
def test_what_a_killed_one_encoded_of_another_text_is_not_gone_on_from(
    shards: int, name: str, tmp_path: Path
) -> None:
    text, out = Text(tmp_path, name), tmp_path / "out"
    calm = run(text, tmp_path / "calm", "bytes", {})
    interrupted(text, out, "bytes", shards, lambda: text.edit("quick brown", "QUICK BROWN"))
    text.write(LINES)
    refused(text, out, "bytes", {})
    assert contents(run(text, out, "bytes", {}).folder) == contents(calm.folder)


@pytest.mark.parametrize("spec", ["bpe", "chars"])
def test_what_a_killed_one_learnt_of_another_text_is_not_gone_on_from(
    spec: str, tmp_path: Path
) -> None:
    text, out = Text(tmp_path, "t.txt"), tmp_path / "out"
    calm = run(text, tmp_path / "calm", spec, {})
    interrupted(text, out, spec, 0, lambda: text.edit("quick brown", "QUICK BROWN"))
    text.write(LINES)
    (folder,) = out.iterdir()
    assert not (folder / "tokenizer.json").exists(), "stopped between the note and the tokenizer"
    interrupted(text, out, spec, 1, lambda: None)
    assert contents(run(text, out, spec, {}).folder) == contents(calm.folder)


def test_what_was_killed_goes_on_whatever_an_earlier_version_left(tmp_path: Path) -> None:
    text, out = Text(tmp_path, "t.txt"), tmp_path / "out"
    calm = run(text, tmp_path / "calm", "bpe", {})
    interrupted(text, out, "bpe", 2, lambda: None)
    (folder,) = out.iterdir()
    left = json.loads((folder / "unfinished.json").read_text())["splits"]
    for entry in left.values():
        for shard in entry["shards"]:
            del shard["read"]
    (folder / "unfinished.json").write_text(json.dumps(left))
    assert contents(run(text, out, "bpe", {}).folder) == contents(calm.folder)
