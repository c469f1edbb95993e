"""Where a task's documents are looked for, and what is said when they are not there."""

from __future__ import annotations

import gzip
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import DataError, UsageError
from groundup.evaluate import TASKS, read_questions
from tests.evaluate.test_tasks import DOCUMENTS

PASSAGES = [{"text": f"the cat sat on mat number {n}"} for n in range(5)]
LINES = "".join(json.dumps(passage) + "\n" for passage in PASSAGES)


def test_json_lines(tmp_path: Path) -> None:
    (tmp_path / "lambada.jsonl").write_text(LINES)
    labels, questions = read_questions("lambada", tmp_path)
    assert [q.pairs[0][1] for q in questions] == [f" {n}" for n in range(5)]
    assert labels[2] == f"{tmp_path}/lambada.jsonl, line 3"
    assert read_questions("lambada", tmp_path, 2)[1] == questions[:2]
    assert read_questions("lambada", tmp_path / "lambada.jsonl", 99)[1] == questions


@pytest.mark.parametrize("name", ["lambada.jsonl.gz", "lambada.json", "lambada.csv"])
def test_other_formats(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain.jsonl").write_text(LINES)
    texts = {
        "lambada.jsonl.gz": gzip.compress(LINES.encode()),
        "lambada.json": json.dumps(PASSAGES).encode(),
        "lambada.csv": "\n".join(["text", *(p["text"] for p in PASSAGES)]).encode(),
    }
    (tmp_path / name).write_bytes(texts[name])
    plain = read_questions("lambada", tmp_path / "plain.jsonl")[1]
    assert read_questions("lambada", tmp_path)[1] == plain


def test_parquet_in_a_folder_of_splits(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "hellaswag" / "data"
    folder.mkdir(parents=True)
    document = DOCUMENTS["hellaswag"]
    for split, label in (("train", "0"), ("validation", "3")):
        table = arrow.Table.from_pylist([document | {"label": label}] * 3)
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    labels, questions = read_questions("hellaswag", tmp_path)
    assert [question.gold for question in questions] == [3, 3, 3]
    assert labels[0].endswith("validation-00000-of-00001.parquet, record 1")
    (folder / "validation-00000-of-00001.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="expected a Parquet file, but"):
        read_questions("hellaswag", tmp_path)


def test_the_only_file_of_a_folder_needs_no_split_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "lambada").mkdir()
    (tmp_path / "lambada" / "mine.jsonl").write_text(LINES)
    assert len(read_questions("lambada", tmp_path)[1]) == 5


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no documents of piqa; expected .*/piqa.jsonl, or a"):
        read_questions("piqa", tmp_path)
    (tmp_path / "piqa.jsonl").write_text("")
    with pytest.raises(DataError, match="empty; expected documents of piqa"):
        read_questions("piqa", tmp_path)
    (tmp_path / "piqa.jsonl").write_text(json.dumps(DOCUMENTS["piqa"]) + "\n{broken\n")
    with pytest.raises(DataError, match=r"piqa.jsonl, line 2: expected JSON"):
        read_questions("piqa", tmp_path)
    assert len(read_questions("piqa", tmp_path, limit=1)[1]) == 1
    (tmp_path / "piqa.txt").write_text("words")
    with pytest.raises(UsageError, match=r"expected a file ending in .jsonl"):
        read_questions("piqa", tmp_path / "piqa.txt")
    with pytest.raises(UsageError, match="limit = 0: expected 1 or more"):
        read_questions("piqa", tmp_path, limit=0)


@pytest.mark.parametrize("name", TASKS)
def test_the_hub_is_asked_for_the_right_dataset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(path: str, configuration: str | None, split: str) -> list[dict[str, Any]]:
        asked.append((path, configuration, split))
        return [DOCUMENTS[name]] * 4

    library = types.SimpleNamespace(load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", library)
    labels, questions = read_questions(name, None, 3)
    assert len(questions) == 3
    assert asked == [(*TASKS[name].hub, TASKS[name].split)]
    assert labels[2] == f"{TASKS[name].hub[0]}, record 3"


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*arguments: object, **options: object) -> None:
        raise ConnectionError("no route to host\nand a long story")

    library = types.SimpleNamespace(load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", library)
    with pytest.raises(DataError, match=r"piqa could not be fetched \(no route to host\)"):
        read_questions("piqa", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match="needs the package datasets, which is not installed"):
        read_questions("piqa", None)
