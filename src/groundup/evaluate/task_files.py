"""A task's documents: from local files, or from the Hugging Face hub where the user asks for it."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path

from groundup.base.errors import DataError, UsageError
from groundup.data.compressed import COMPRESSIONS
from groundup.data.folders import format_of
from groundup.data.record_files import PARQUET, RECORD_FORMATS, TEXT_FORMATS, file_records
from groundup.data.text_fields import Records
from groundup.evaluate.tasks import TASKS, Question, question_of, task_named

ENDINGS = (*(f"{e}{c}" for e in TEXT_FORMATS for c in ("", *COMPRESSIONS)), PARQUET)


def read_questions(
    name: str, data: Path | None, limit: int | None = None
) -> tuple[list[str], list[Question]]:
    """Return where the first `limit` documents of a task stand, and their questions.

    `data` is a file, or a folder with TASK.jsonl (or .json, .csv, .parquet; packed too), or with
    a folder TASK of files that have the split in their name; None asks the hub. What is not
    there is a `UsageError`; what cannot be read or asked is a `DataError` that names it.
    """
    task = task_named(name)
    if limit is not None and limit < 1:
        raise UsageError(f"limit = {limit}: expected 1 or more documents")
    if data is None:
        records = _hub_records(name)
    else:
        files = task_files(name, data)
        records = itertools.chain.from_iterable(map(task_records, files))
    labels, questions = [], []
    for label, document in itertools.islice(records, limit):
        labels.append(label)
        questions.append(question_of(task, document, label))
    if not questions:
        raise DataError(f"{data or name}: empty; expected documents of {name}")
    return labels, questions


def task_files(name: str, data: Path) -> list[Path]:
    """Return the files of a task, sorted; see `read_questions` for where they may be."""
    if not data.exists():
        raise UsageError(f"{data}: no such file or folder; check the path")
    if data.is_file():
        return [data]
    for ending in ENDINGS:
        if (file := data / f"{name}{ending}").is_file():
            return [file]
    inside = [p for p in sorted((data / name).rglob("*")) if p.name.endswith(ENDINGS)]
    split = TASKS[name].split
    if files := [p for p in inside if split in p.name] or (inside if len(inside) == 1 else []):
        return files
    raise UsageError(
        f"{data}: no documents of {name}; expected {data / name}.jsonl, or a folder {data / name} "
        f"of files with '{split}' in their names"
    )


def task_records(path: Path) -> Records:
    """Yield where each record of a file stands, and the record."""
    kind = format_of(path)
    if kind not in RECORD_FORMATS:
        raise UsageError(f"{path}: expected a file ending in {', '.join(ENDINGS)}")
    return file_records(path, kind)


def _hub_records(name: str) -> Records:
    task = TASKS[name]
    path, configuration = task.hub
    try:
        datasets = importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name} from the hub needs the package datasets, which is not installed; run "
            "'pip install datasets', or give local files with --data"
        ) from error
    try:
        dataset = datasets.load_dataset(path, configuration, split=task.split)
    except Exception as error:  # whatever the network, the hub or the library may raise
        raise DataError(
            f"{path} could not be fetched ({str(error).splitlines()[0]}); check the network, or "
            "give local files with --data"
        ) from error
    for number, row in enumerate(dataset, 1):
        yield f"{path}, record {number}", row
