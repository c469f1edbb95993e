"""assistant.json: what is written is read again, and what is damaged is told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import GroundupError
from groundup.runs.assistant import AssistantRecord, read_assistant, write_assistant
from groundup.runs.folder import RunFolder
from tests.runs.answered import asked, judgement, record, with_task
from tests.runs.test_classification import spoilt


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"before": None, "before_missing": "the base is gone", "padding": None, "seconds": None},
        {"asked": asked(general_text=None, general_missing="it keeps none"), "examples": ()},
        {"judgement": judgement(quotes=("hm",), win_rate=None, interval=None)},
        {"after": with_task().after, "task_change": with_task().task_change},
    ],
)
def test_what_is_written_is_read_again(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = RunFolder(tmp_path).assistant
    assert read_assistant(path) is None
    write_assistant(path, record(**changes))
    assert path.name == "assistant.json"
    assert read_assistant(path) == record(**changes)


def test_a_key_of_a_later_version_is_passed_over() -> None:
    values = record().as_dict()
    values["colour"] = values["after"]["colour"] = "blue"
    assert AssistantRecord.from_dict(values) == record()


def test_a_file_of_an_older_version_has_neither_a_judge_nor_a_task() -> None:
    values = record().as_dict()
    for table, keys in (
        (values, ("judgement", "task_change")),
        (values["after"], ("task",)),
        (values["asked"], ("general_task", "task_documents", "task_missing")),
    ):
        for key in keys:
            del table[key]
    assert AssistantRecord.from_dict(values) == record()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (spoilt("format", value=2), "format is 2, this groundup reads format 1"),
        (spoilt("after", value=None), "the file has no after"),
        (spoilt("after", "loss", value="low"), "after.loss is 'low'"),
        (spoilt("after", "loss", value=float("inf")), "after.loss is inf"),
        (spoilt("before", "replies", "kinds", value=[]), "before.replies.kinds is empty"),
        (spoilt("after", "ended", "ended", value=-1), "after.ended.ended is -1"),
        (spoilt("asked", "questions", value=1.5), "asked.questions is 1.5"),
        (spoilt("examples", 0, "after_ended", value=1), r"examples\[0\].after_ended is 1"),
        (spoilt("examples", 0, "question", value=True), r"examples\[0\].question is True"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, change: Any, words: str) -> None:
    values = json.loads(json.dumps(record().as_dict()))
    change(values)
    path = tmp_path / "assistant.json"
    path.write_text(json.dumps(values))
    with pytest.raises(GroundupError, match=words) as caught:
        read_assistant(path)
    assert "\n" not in str(caught.value)
    assert "'groundup finetune instruct' command writes it again" in str(caught.value)
