"""The folder of dialogues: opened only whole, without its source, and no text for anyone else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import DataError, UsageError
from groundup.data.dialogue_folder import DialogueData, open_dialogues
from groundup.data.documents import read_documents
from groundup.data.labelled_folder import open_labelled
from groundup.data.own_folders import check_shard_folder, own_kind
from groundup.data.prepare import open_prepared
from tests.data import labelling
from tests.data.dialoguing import prepared, records, said

EVIL = {"messages": said('line\u2028end "quoted"', "\x85 \n2")}


@pytest.fixture
def data(tmp_path: Path) -> DialogueData:
    return prepared(tmp_path, *records("messages", 20), EVIL)


@pytest.mark.parametrize("name", ["messages", "text", "preferences"])
def test_it_opens_without_its_source(name: str, tmp_path: Path) -> None:
    data = prepared(tmp_path, *records(name, 20), *([EVIL] if name == "messages" else []))
    (tmp_path / "a.jsonl").unlink()
    again = open_dialogues(data.folder)
    for split in ("train", "val", "test"):
        assert again.dialogues(split) == data.dialogues(split)
        assert again.texts(split) == data.texts(split)
        assert again.preferences(split) == data.preferences(split)
    assert (again.format, again.fingerprint) == (name, data.folder.name)
    assert repr(again).startswith(f"DialogueData({data.folder}: 1")


def test_every_character_is_kept(data: DialogueData) -> None:
    found = [d.messages for split in ("train", "val", "test") for d in data.dialogues(split)]
    assert tuple(EVIL["messages"]) in found


@pytest.mark.parametrize("name", ["dialogues.jsonl", "manifest.json"])
@pytest.mark.parametrize("change", ["cut", "changed", "missing"])
def test_damage_is_named(data: DialogueData, name: str, change: str) -> None:
    path = data.folder / name
    raw = path.read_bytes()
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(raw[:-9] if change == "cut" else raw.replace(b"train", b"trein"))
    with pytest.raises(DataError) as caught:
        open_dialogues(data.folder).dialogues("train")
    assert str(data.folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"formats": {}},
        {"formats": {"a.jsonl": {"format": 3}}},
        {"fingerprint": 3},
        {"splits": {"train": {}}},
        {"dialogues": {}},
    ],
)
def test_a_manifest_that_makes_no_sense(data: DialogueData, change: dict[str, Any]) -> None:
    path = data.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"manifest\.json: damaged \("):
        open_dialogues(data.folder)


@pytest.mark.parametrize("line", ['{"split": "train"}', '{"split": "x", "text": "a"}', "3", "{"])
def test_lines_of_another_shape(data: DialogueData, line: str) -> None:
    path = data.folder / "dialogues.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=r"dialogues\.jsonl: damaged \("):
        DialogueData(data.folder, data.manifest).dialogues("train")


def test_a_manifest_of_other_dialogues(data: DialogueData) -> None:
    path = data.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["splits"]["train"]["replies"] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"not the dialogues that manifest\.json counts"):
        open_dialogues(data.folder).dialogues("train")


def test_what_is_kept_is_not_mistaken(data: DialogueData, tmp_path: Path) -> None:
    rows = labelling.messages(30)
    labelled = labelling.prepared(tmp_path, labelling.csv_rows(*rows))
    with pytest.raises(DataError, match="labelled examples, not dialogues; name a folder of those"):
        open_dialogues(labelled.folder)
    with pytest.raises(DataError, match="dialogue examples, not labelled examples"):
        open_labelled(data.folder)
    with pytest.raises(DataError, match="dialogue examples, not token shards"):
        open_prepared(data.folder)
    check_shard_folder(tmp_path / "data")  # may hold both
    with pytest.raises(UsageError, match="the dialogues of one preparation; name the"):
        check_shard_folder(data.folder)


@pytest.mark.parametrize("left", ["all", "unfinished"])
def test_they_are_no_text(data: DialogueData, tmp_path: Path, left: str) -> None:
    texts = tmp_path / "texts"
    shutil.copytree(data.folder, texts / "any name")
    (texts / "t.txt").write_text("a text")
    if left == "unfinished":
        (texts / "any name" / "manifest.json").unlink()
    names = {path.name for path in (texts / "any name").iterdir()}
    assert own_kind(texts / "any name", names) == "dialogues"
    assert [document.text() for document in read_documents([str(texts)])] == ["a text"]
