"""The folder of labelled examples: opened only whole, and no text for anyone else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from groundup.base.errors import DataError, UsageError
from groundup.data.documents import read_documents
from groundup.data.labelled_folder import LabelledData, open_labelled
from groundup.data.own_folders import check_shard_folder, own_kind
from groundup.data.prepare import open_prepared, prepare
from tests.data.labelling import csv_rows, messages, prepared

EVIL = csv_rows(*messages(30), ("ham", '"line\u2028end ""quoted"" \x85"'))


@pytest.fixture
def data(tmp_path: Path) -> LabelledData:
    return prepared(tmp_path, EVIL)


def test_it_opens_without_its_source(data: LabelledData, tmp_path: Path) -> None:
    (tmp_path / "a.csv").unlink()
    again = open_labelled(data.folder)
    for split in ("train", "val", "test"):
        assert again.examples(split) == data.examples(split)
    assert (again.labels, again.fingerprint) == (data.labels, data.folder.name)
    assert 'line\u2028end "quoted" \x85' in {e.text for s in ("train", "val", "test")
                                             for e in again.examples(s)}  # fmt: skip


@pytest.mark.parametrize("name", ["examples.jsonl", "manifest.json"])
@pytest.mark.parametrize("change", ["cut", "changed", "missing"])
def test_damage_is_named(data: LabelledData, name: str, change: str) -> None:
    path = data.folder / name
    raw = path.read_bytes()
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(raw[:-9] if change == "cut" else raw.replace(b"ham", b"spa"))
    with pytest.raises(DataError) as caught:
        open_labelled(data.folder).examples("train")
    assert str(data.folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manifest_of_other_examples(data: LabelledData) -> None:
    path = data.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    train = manifest["splits"]["train"]
    train["classes"]["ham"], train["examples"] = train["classes"]["ham"] + 1, train["examples"] + 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"not the examples that manifest\.json counts"):
        open_labelled(data.folder).examples("train")


def test_a_newer_format_is_refused(data: LabelledData) -> None:
    path = data.folder / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(DataError, match="format 2, but this version reads format 1"):
        open_labelled(data.folder)


def test_shards_and_examples_are_not_mistaken(data: LabelledData, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("some text " * 50)
    shards = prepare([str(tmp_path / "t.txt")], "chars", 0, tmp_path / "data")
    with pytest.raises(DataError, match="token shards, not labelled examples"):
        open_labelled(shards.folder)
    with pytest.raises(DataError, match="labelled examples, not token shards"):
        open_prepared(data.folder)
    check_shard_folder(tmp_path / "data")  # may hold both
    with pytest.raises(UsageError, match="the labelled examples of one preparation; name the"):
        check_shard_folder(data.folder)


@pytest.mark.parametrize("left", ["all", "unfinished"])
def test_they_are_no_text(data: LabelledData, tmp_path: Path, left: str) -> None:
    texts = tmp_path / "texts"
    shutil.copytree(data.folder, texts / "any name")
    (texts / "t.txt").write_text("a text")
    if left == "unfinished":
        (texts / "any name" / "manifest.json").unlink()
    names = {path.name for path in (texts / "any name").iterdir()}
    assert own_kind(texts / "any name", names) == "labelled examples"
    for source in (str(texts), f"{texts}/**/*.*"):
        assert [document.text() for document in read_documents([source])] == ["a text"]
    with pytest.raises(UsageError, match="it holds labelled examples of groundup's own, not text"):
        list(read_documents([str(texts / "any name")]))


def test_examples_of_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "examples.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "manifest.json").write_text('{"format": 1, "kind": "x", "text": "two"}')
    assert len(list(read_documents([str(tmp_path)]))) == 2
