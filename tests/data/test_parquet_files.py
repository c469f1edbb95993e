"""The columns of Parquet: which one is the text, of every kind of strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from groundup.data.reading_log import ReadingLog
from tests.data.reading import message, read


def strings(kind: pa.DataType) -> pa.Array:
    return pa.array(["one fox", None, "two owls"], pa.string()).cast(kind)


class TestParquet:
    def write(self, path: Path, **columns: Any) -> Path:
        pq.write_table(pa.table(columns), path)
        return path

    @pytest.mark.parametrize("name", ["text", "body"])
    @pytest.mark.parametrize(
        "kind",
        [
            pa.string(),
            pa.large_string(),
            pa.string_view(),
            pa.binary(),
            pa.large_binary(),
            pa.dictionary(pa.int32(), pa.string()),
        ],
        ids=str,
    )
    def test_kinds_of_strings(self, tmp_path: Path, kind: pa.DataType, name: str) -> None:
        stamps = pa.array([10**9 + 1] * 3, pa.timestamp("ns"))
        columns = {"id": ["a-1", "a-2", "a-3"], name: strings(kind), "at": stamps, "n": [1, 2, 3]}
        path = self.write(tmp_path / "a.parquet", **columns)
        log = ReadingLog()
        assert read(path, log=log) == ["one fox", "two owls"]
        assert f"the text is the field '{name}', in 2 of 3 records" in " ".join(log.lines())
        assert ("read as UTF-8" in log.lines()[0]) == ("binary" in str(kind))
        assert log.skipped == {"records without a text": 1}

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "a.parquet", text=[b"\xff\xfe", b"\x89PNG"])
        assert "found text (bytes);" in message(path)
        path = self.write(path, text=[b"fine", b"\xff"])
        assert "record 2: expected a string in the field 'text', but found bytes" in message(path)
        assert read(path, on_bad_record="skip") == ["fine"]

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a Git LFS pointer, not Parquet; fetch",
            ),
            (b"\x1f\x8b\x08\0", "packed with gzip, not Parquet; unpack it"),
            (b"<html>404</html>", "not Parquet though it ends in .parquet, but plain text; rename"),
            (b"PAR1", "expected a Parquet file, but"),
            (b"", "expected a Parquet file, but"),
        ],
    )
    def test_something_else(self, tmp_path: Path, content: bytes, what: str) -> None:
        path = tmp_path / "a.parquet"
        path.write_bytes(content)
        assert message(path).startswith(f"{path}: {what}")

    def test_nested(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "a.parquet", data=[{"text": "one fox", "n": 1}], id=["a-1"])
        assert "--text-field data.text" in message(path)
        assert read(path, text_field="data.text") == ["one fox"]

    def test_chats_and_tokens(self, tmp_path: Path) -> None:
        chats = [[{"role": "user", "content": "one fox"}]]
        assert "are chats" in message(self.write(tmp_path / "a.parquet", id=["x"], messages=chats))
        assert "are tokens" in message(self.write(tmp_path / "a.parquet", id=["x"], tokens=[[1]]))

    def test_named(self, tmp_path: Path) -> None:
        stamps = pa.array([10**9 + 1], pa.timestamp("ns"))
        columns = {"title": ["one fox"], "body": ["two owls"], "n": [3], "at": stamps}
        path = self.write(tmp_path / "a.parquet", **columns)
        assert read(path, text_field="body") == ["two owls"]
        assert "found title (text), body (text), n (int), at (timestamp[ns])" in message(path)
        for name in ("nobody", "n", "at"):
            assert f"no text in the field '{name}'" in message(path, text_field=name)

    def test_the_same_name_twice(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table([pa.array(["a b"]), pa.array(["c"])], names=["text", "text"]), path)
        assert "text (the same name twice)" in message(path)

    def test_only_what_is_needed_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.write(tmp_path / "a.parquet", text=["one"], image=[b"x" * 99])
        asked = []
        plain = pq.ParquetFile.iter_batches

        def spy(self: Any, **options: Any) -> Any:
            asked.append(options["columns"])
            return plain(self, **options)

        monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
        assert read(path) == ["one"]
        assert asked == [["text"], ["text"]]
