"""What of a folder is read, what is skipped and told, and how our own folders are known."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import DataError, UsageError
from groundup.data import prepare, read_documents
from groundup.data.own_folders import check_shard_folder, own_kind
from groundup.data.reading_log import ReadingLog
from groundup.report.page import page
from tests.data.preparing import prose
from tests.data.reading import message, read


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def told(*sources: object, **options: Any) -> list[str]:
    log = ReadingLog()
    read(*sources, log=log, **options)
    return log.lines()


class TestSkipped:
    def test_is_counted_by_ending(self, tmp_path: Path) -> None:
        fill(tmp_path, "a.txt", "b.png", "c/d.PNG", "e.py", "README", "f.tar.gz", "g.v2.png")
        fill(tmp_path, ".hidden.txt", ".git/h.txt")
        fill(tmp_path, ".other", "LICENSE")
        (line,) = told(tmp_path)
        start, _, counts = line.partition(": skipped 10: ")
        assert start == str(tmp_path)
        assert counts.split(", ")[0] == "3 .png"
        assert {*counts.split(", ")[1:]} == {
            "2 extensionless files",
            "2 hidden files",
            "1 hidden folder",
            "1 .py",
            "1 .tar.gz",
        }

    def test_nothing_to_tell(self, tmp_path: Path) -> None:
        fill(tmp_path, "a.txt", "b/c.md")
        assert told(tmp_path) == []

    def test_links_pipes_and_sockets_never_hang(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)  # the name of a socket may not be long
        fill(Path("s"), "a.txt")
        os.mkfifo("s/b.txt")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s/c.txt")
            Path("s/loop").symlink_to(".", target_is_directory=True)
            Path("s/d.txt").symlink_to("d.txt")
            Path("s/e.txt").symlink_to("nowhere")
            Path("s/f.txt").symlink_to("a.txt")
            assert read("s") == ["a.txt", "a.txt"]
            assert told("s") == ["s: skipped 5: 4 irregular files, 1 linked folder"]

    def test_unreadable_folder_inside(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(tmp_path, "a.txt", "shut/b.txt")
        scan = os.scandir

        def refuse(path: Any) -> Any:  # the superuser may read what no one else may
            if str(path).endswith("shut"):
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", refuse)
        assert told(tmp_path) == [f"{tmp_path}: skipped 1: 1 unreadable folder"]

    def test_folder_listed_but_not_entered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(tmp_path, "a.txt", "b.txt")
        is_file = Path.is_file

        def refuse(path: Path) -> bool:
            if path.name == "b.txt":
                raise PermissionError(13, "Permission denied", str(path))
            return is_file(path)

        monkeypatch.setattr(Path, "is_file", refuse)
        assert told(tmp_path) == [f"{tmp_path}: skipped 1: 1 irregular file"]


class TestInclude:
    def test_reads_other_endings_as_plain_text(self, tmp_path: Path) -> None:
        fill(tmp_path, "a.txt", "b.py", "c/d.py", "c/e.log", "Makefile", ".f.py")
        assert read(tmp_path, include=["*.py"]) == ["a.txt", "b.py", "c/d.py"]
        assert read(tmp_path, include=["c/*", "Makefile"]) == ["Makefile", "a.txt", "c/d.py",
                                                              "c/e.log"]  # fmt: skip

    def test_a_pattern_without_a_file_is_refused(self, tmp_path: Path) -> None:
        fill(tmp_path, "a.txt")
        error = message(tmp_path, include=["*.txt", "*.rs"], kind=UsageError)
        assert error.startswith(f"--include '*.rs': no file in {tmp_path} matches")

    def test_is_advised_where_nothing_is_left(self, tmp_path: Path) -> None:
        fill(tmp_path, "a.py", "b.py", "c.rs")
        error = message(tmp_path)
        assert "no text in this folder (skipped 3: 2 .py, 1 .rs)" in error
        assert "--include '*.py'" in error


def prepared_in(folder: Path, source: Path) -> Path:
    return prepare([str(source)], "chars", 0, folder).folder


class TestOwn:
    def test_shards_beside_the_text_change_nothing(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        fill(data, "a.txt", "b.txt")
        first = prepare([str(data)], "bytes", 0, data)
        assert first.notices == ()
        again = prepare([str(data)], "bytes", 0, data)
        assert again.folder == first.folder
        assert again.manifest["documents"] == 2
        assert again.notices == (
            f"{data}: left out 1 of groundup's own: {first.folder} (token shards)",
        )

    @pytest.mark.parametrize(
        "left",
        [
            ["lock"],
            ["lock", "tokenizer.json"],
            ["lock", "tokenizer.json", ".unfinished-train-00000.bin.x", "unfinished.json"],
            ["unfinished.json", "train-00000.bin", "tokenizer.json"],
            ["manifest.json", "tokenizer.json", "train-00000.bin"],
        ],
        ids=" ".join,
    )
    def test_unfinished_shards_of_any_name_are_known(self, tmp_path: Path, left: list[str]) -> None:
        (tmp_path / "t").write_text(prose(100))
        done = prepared_in(tmp_path / "out", tmp_path / "t")
        ours = tmp_path / "texts" / "any name"
        ours.mkdir(parents=True)
        for name in left:
            (ours / name).touch()
            if (done / name).exists():
                shutil.copy(done / name, ours / name)
        fill(tmp_path / "texts", "a.txt")
        assert read(tmp_path / "texts") == ["a.txt"]
        assert read(f"{tmp_path}/texts/**/*.*") == ["a.txt"]

    @pytest.mark.parametrize(
        "names", [["manifest.json", "a.txt"], ["tokenizer.json"], ["lock", "a.txt"], ["run.toml"]]
    )
    def test_folders_of_others_are_read(self, tmp_path: Path, names: list[str]) -> None:
        for name in names:
            (tmp_path / name).write_text('{"text": "x"}' if name.endswith("json") else "x = 1")
        assert own_kind(tmp_path, set(names)) is None

    def test_a_lock_alone_does_not_hide_folders_below(self, tmp_path: Path) -> None:
        fill(tmp_path, "lock", "texts/a.txt")
        assert read(tmp_path) == ["texts/a.txt"]

    def test_runs_are_left_out(self, tmp_path: Path) -> None:
        fill(tmp_path, "a.txt", "runs/x/metrics.jsonl", "runs/x/samples.jsonl")
        tables = "format = 1\n[model]\n[data]\n"
        (tmp_path / "runs/x/run.toml").write_text(tables)
        assert read(tmp_path) == ["a.txt"]
        assert told(tmp_path)[0].endswith(
            f"left out 1 of groundup's own: {tmp_path}/runs/x (a run)"
        )
        assert read(f"{tmp_path}/**/*.*") == ["a.txt"]
        error = message(f"{tmp_path}/**/*.jsonl", kind=UsageError)
        assert "no file matches (left out 1 of groundup's own: " in error

    def test_experiments_models_and_pages_are_left_out(self, tmp_path: Path) -> None:
        fill(tmp_path, "a.txt", "b.md", "lab/own/results.csv", "hf/README.md")
        fill(tmp_path, "hf/model.safetensors")
        (tmp_path / "lab/own/lab.json").write_text('{"format": 1, "experiment": "x", "scales": {}}')
        (tmp_path / "hf/config.json").write_text('{"model_type": "gpt2"}')
        (tmp_path / "comparison.html").write_text(page("x", "y", []))
        assert read(tmp_path) == ["a.txt", "b.md"]
        assert told(tmp_path)[0].endswith(
            f"left out 3 of groundup's own: {tmp_path}/comparison.html (a page), "
            f"{tmp_path}/hf (a model), {tmp_path}/lab/own (an experiment)"
        )
        assert read(f"{tmp_path}/**/*.*") == ["a.txt", "b.md"]
        with pytest.raises(UsageError, match="to train on a text"):
            check_shard_folder(tmp_path / "hf")

    def test_ours_alone_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "t").write_text(prose(100))
        done = prepared_in(tmp_path / "out", tmp_path / "t")
        assert "holds token shards of groundup's own" in message(done, kind=UsageError)
        assert "no text in this folder (left out 1 of groundup's own" in message(tmp_path / "out")


class TestFolderOfShards:
    def test_absent_empty_or_with_shards(self, tmp_path: Path) -> None:
        (tmp_path / "t").write_text(prose(100))
        check_shard_folder(tmp_path / "nowhere")
        out = tmp_path / "out"
        out.mkdir()
        (out / ".gitignore").touch()
        check_shard_folder(out)
        prepared_in(out, tmp_path / "t")
        check_shard_folder(out)

    @pytest.mark.parametrize("name", ["a.txt", "sub/a.txt", "zz.json"])
    def test_anything_else_is_refused(self, tmp_path: Path, name: str) -> None:
        fill(tmp_path, name)
        with pytest.raises(UsageError, match=f"it holds {name.split('/')[0]}; to train on a text"):
            check_shard_folder(tmp_path)
        with pytest.raises(UsageError, match=rf"groundup train {tmp_path / name}"):
            check_shard_folder(tmp_path / name)


class TestNamedTwice:
    def test_a_file_is_read_once(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("one")
        (tmp_path / "b.txt").write_text("two")
        log = ReadingLog()
        sources = [f"{tmp_path}/b.txt", str(tmp_path), f"{tmp_path}/*.txt"]
        texts = [document.text() for document in read_documents(sources, log=log)]
        assert texts == ["two", "one"]
        assert log.lines() == [
            f"named more than once, and read once: {tmp_path}/b.txt, {tmp_path}/a.txt"
        ]


def test_a_file_that_a_folder_holds_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"theme": 3}')
    (tmp_path / "a.txt").write_text("one")
    with pytest.raises(DataError, match=r"which field is the text.*or leave the file out"):
        list(read_documents([str(tmp_path)]))
    with pytest.raises(DataError) as named:
        list(read_documents([str(tmp_path / "settings.json")]))
    assert "leave the file out" not in str(named.value)


def test_an_empty_name_is_not_the_current_folder() -> None:
    assert "'': a text without a name" in message("", kind=UsageError)


def test_a_pattern_is_named_where_it_leaves_a_folder_without_text(tmp_path: Path) -> None:
    fill(tmp_path, "a.py", "b.py")
    error = message(tmp_path, include=["py"], kind=UsageError)
    assert f"--include 'py': no file in {tmp_path} (skipped 2: 2 .py) matches" in error


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.txt")
    (tmp_path / name).write_text("one")
    assert read(tmp_path) == ["one"]
    assert prepare([str(tmp_path)], "bytes", 0, tmp_path / "data").manifest["largest_document"]
    error = message(tmp_path / name, kind=UsageError)
    assert "a name that is not UTF-8" in error
    assert error.isascii()
