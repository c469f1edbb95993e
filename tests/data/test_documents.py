"""Where documents come from: folders, globs, standard input, and parts of a file."""

from __future__ import annotations

import errno
import gzip
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.base.errors import GroundupError, UsageError
from groundup.data.documents import read_documents, split_pieces, standard_input
from groundup.data.folders import source_files
from groundup.data.reading_log import ReadingLog
from tests.data.reading import (
    message,
    names,
    read,
)


class TestSplit:
    @settings(max_examples=300)
    @given(
        text=st.text("ab-\n", max_size=60),
        separator=st.sampled_from(["-", "--", "a-a", "\n\n", "ab-\nab"]),
        size=st.integers(1, 12),
    )
    def test_equals_str_split_at_any_chunk_size(self, text: str, separator: str, size: int) -> None:
        pieces = (text[i : i + size] for i in range(0, len(text), size))
        assert ["".join(part) for part in split_pieces(pieces, separator)] == text.split(separator)

    def test_what_is_not_read_is_passed_over(self) -> None:
        parts = split_pieces(iter(["ab", "c|d", "ef|", "g"]), "|")
        assert [next(part) for part in parts] == ["ab", "d", "g"]

    def test_blank_parts_are_skipped(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"|one|| \r\n|\r\ntwo|\r\n")
        assert read(tmp_path, split_on="|") == ["one", "\ntwo"]
        assert names(tmp_path, split_on="|") == [f"{tmp_path / 'a.txt'}, part {n}" for n in (2, 5)]

    def test_separator_with_windows_newlines(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"one\r\n\r\ntwo")
        assert read(tmp_path, split_on="\r\n\r\n", chunk_size=1) == ["one", "two"]

    def test_many_parts_take_linear_time(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("x\n" * 200_000)
        assert len(read(tmp_path, split_on="\n")) == 200_000

    def test_empty_separator(self, tmp_path: Path) -> None:
        assert "empty" in message(tmp_path, split_on="", kind=UsageError)


class TestSources:
    def test_folder_in_sorted_order(self, tmp_path: Path) -> None:
        for name in ("b.txt", "a/z.md", "a.txt", ".hidden.txt", ".git/c.txt", "x.png", "c.bin"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(name)
        assert read(tmp_path) == ["a/z.md", "a.txt", "b.txt"]

    def test_glob(self, tmp_path: Path) -> None:
        for name in ("b.txt", "a/c.txt", "a.md"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(name)
        assert read(f"{tmp_path}/*.txt") == ["b.txt"]
        assert read(f"{tmp_path}/**/*.txt") == ["a/c.txt", "b.txt"]
        assert "no file matches" in message(f"{tmp_path}/*.csv", kind=UsageError)

    def test_a_name_with_glob_characters_is_a_file_first(self, tmp_path: Path) -> None:
        (tmp_path / "[1].txt").write_text("one")
        assert read(tmp_path / "[1].txt") == ["one"]

    def test_several_keep_their_order(self, tmp_path: Path) -> None:
        (tmp_path / "b").write_text("one")
        (tmp_path / "a").write_text("two")
        assert read(tmp_path / "b", tmp_path / "a") == ["one", "two"]

    def test_a_path_comes_before_a_corpus(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("kjv").write_text("mine")
        assert read("kjv") == ["mine"]

    def test_missing(self) -> None:
        error = message("shakespere", kind=UsageError)
        assert "shakespere: no such file or folder" in error
        assert "did you mean 'shakespeare'?" in error
        error = message("/no/where.txt", kind=UsageError)
        assert "known: shakespeare, factbook, kjv" in error

    def test_all_are_looked_up_before_any_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("one")
        with pytest.raises(UsageError):
            read_documents([str(tmp_path), "nowhere"])

    def test_folder_without_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"x")
        error = message(tmp_path)
        assert "no text in this folder" in error
        assert "(skipped 1: 1 .png)" in error
        assert ".txt .md .jsonl .ndjson .json .csv .tsv .parquet" in error
        assert ", or these and .gz or .bz2 or .xz or .zst; others are read" in error
        assert "--include '*.py'" in error

    def test_pipe_by_name(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert "not a regular file" in message(tmp_path / "pipe", kind=UsageError)

    @pytest.mark.parametrize("name", ["a.txt", "a.gz", "a.jsonl", "a.parquet", "a.parquet.gz"])
    def test_unreadable_file(
        self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        (tmp_path / name).write_text("x")
        monkeypatch.setattr(Path, "open", refuse)  # the superuser may read what no one else may
        monkeypatch.setattr(gzip, "open", refuse)
        error = message(tmp_path / name, kind=GroundupError)
        assert error.startswith(f"{tmp_path / name}: Permission denied")

    def test_unreadable_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "scandir", refuse)
        assert "Permission denied" in message(tmp_path, kind=GroundupError)


class TestStandardInput:
    def test_is_plain_text(self) -> None:
        stdin = io.BytesIO(b'{"a": 1}\r\n')
        assert read("-", stdin=stdin) == ['{"a": 1}\n']
        assert names("-", stdin=stdin) == ["standard input"]
        assert read("-", stdin=stdin, split_on=":") == ['{"a"', " 1}\n"]

    def test_empty(self) -> None:
        assert "empty" in message("-", stdin=io.BytesIO())

    def test_that_cannot_be_read_is_named(self) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        with pytest.raises(GroundupError, match=r"^standard input: "):
            standard_input(["-"], Broken()).__enter__()

    def test_is_read_twice_from_a_pipe(self) -> None:
        program = (
            "from groundup.data.documents import *\n"
            "with standard_input(['-']) as stdin:\n"
            "    for _ in range(2):\n"
            "        print(*[d.text() for d in read_documents(['-'], stdin=stdin)])\n"
        )
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, input=b"hello", capture_output=True, check=True)
        assert done.stdout == b"hello\nhello\n"

    def test_leaves_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with standard_input(["a", "-"], io.BytesIO(b"x")) as stdin:
            assert read("-", stdin=stdin) == ["x"]
        assert stdin is not None
        assert stdin.closed
        assert list(tmp_path.iterdir()) == []

    def test_is_left_alone_when_not_a_source(self) -> None:
        with standard_input(["a"], io.BytesIO(b"x")) as stdin:
            assert stdin is None


class TestBetterReadOtherwise:
    """Plain texts that look like something else are read as they stand, with a word about it."""

    def told(self, path: Path, content: str, **options: Any) -> list[str]:
        path.write_text(content)
        log = ReadingLog()
        assert "".join(read(path, log=log, **options)) == content.replace("<cut>", "")
        return log.lines()

    @pytest.mark.parametrize(
        ("looks", "content"),
        [
            ("JSON", '{"text": "one"}\n{"text": "two"}\n'),
            ("JSON", '\n[ {"text": "one"} ]'),
            ("JSON", '{\n "cells": []}'),
            ("a web page", "<!DOCTYPE html>\n<html>"),
            ("a web page", "<HTML lang=en>"),
        ],
    )
    def test_is_told(self, tmp_path: Path, looks: str, content: str) -> None:
        (line,) = self.told(tmp_path / "a.txt", content)
        assert line.startswith(
            f"{tmp_path}/a.txt: read as plain text, though it looks like {looks}"
        )

    def test_standard_input_too(self) -> None:
        log = ReadingLog()
        read("-", stdin=io.BytesIO(b'{"text": "one"}'), log=log)
        assert log.lines()[0].startswith("standard input: read as plain text, though it looks")

    @pytest.mark.parametrize(
        "content", ["one", "{ x = 1 }", "[1] one", '{"words" of} his', "a <html> page", '"a": 1']
    )
    def test_other_texts_are_not(self, tmp_path: Path, content: str) -> None:
        assert self.told(tmp_path / "a.txt", content) == []

    @pytest.mark.parametrize("mark", ["<|endoftext|>", "<|end_of_text|>"])
    @pytest.mark.parametrize("text", ["one\n{}\ntwo\n", "one{}\ntwo\n", "{}one {} two"])
    def test_a_mark_between_documents(self, tmp_path: Path, mark: str, text: str) -> None:
        (line,) = self.told(tmp_path / "a.txt", text.replace("{}", mark))
        assert f"a.txt: {mark} stands in the text; --split-on '{mark}' would part it" in line
        assert self.told(tmp_path / "a.txt", "one<cut>two", split_on="<cut>") == []
        assert self.told(tmp_path / "a.txt", f"A text may end with {mark}, and go on.") == []


class TestUnusable:
    def test_empty_file_alone(self, tmp_path: Path) -> None:
        for name in ("a.txt", "b.json", "c.jsonl", "d.csv", "e.txt.zst"):
            (tmp_path / name).write_bytes(b"")
            assert message(tmp_path / name) == f"{tmp_path / name}: empty; expected some text"
        assert "empty" in message(tmp_path)
        (tmp_path / "z.txt").write_text("one")
        log = ReadingLog()
        assert read(tmp_path, log=log) == ["one"]
        assert log.skipped == {"files without a text": 5}

    @pytest.mark.parametrize("content", ["\ufeff", "\ufeff \n", " \n\t\r\n", "\n" * 1000])
    def test_blank_file_is_as_good_as_empty(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "a.txt").write_bytes(content.encode())
        assert "empty" in message(tmp_path)

    def test_white_space_is_kept_before_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text(" \n \n  x \n")
        assert read(tmp_path, chunk_size=1) == [" \n \n  x \n"]


def test_source_files_of_standard_input() -> None:
    assert source_files("-") == [Path("-")]
