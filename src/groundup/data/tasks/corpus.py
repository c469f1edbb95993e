"""The corpus `tasks`: many questions with their answers, as a text to pretrain on."""

from __future__ import annotations

from groundup.data.cleaning import Documents
from groundup.data.tasks.draws import TRAIN, Draws
from groundup.data.tasks.generator import PER_KIND as RECORDS
from groundup.data.tasks.generator import make_tasks

VERSION = "1"
"""Of the generator: another text needs another number, after which its cache is called."""
SEED = 2
PER_KIND = 10_000  # less what is among the named records
TASKS_PER_DOCUMENT = 400


def documents() -> Documents:
    """Yield the file name and the text of each document, all kinds mixed.

    All are made of the templates and values to train with, none of those of the test, and none is
    among the named records. A question and its answer have a line each, with an empty line after
    them.
    """
    records = {task.question for task in make_tasks(TRAIN, RECORDS[TRAIN])}
    made = [t for t in make_tasks(TRAIN, PER_KIND, SEED) if t.question not in records]
    tasks = Draws(TRAIN, SEED, "order").shuffled(made)
    for number, first in enumerate(range(0, len(tasks), TASKS_PER_DOCUMENT), 1):
        some = tasks[first : first + TASKS_PER_DOCUMENT]
        text = "\n".join(f"{task.question}\n{task.answer}\n" for task in some)
        yield f"tasks-{number:03}.txt", text
