"""The table of docs/data.md says what the tasks are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from groundup.data.tasks import CASE_MATTERS, KINDS, TEST, TRAIN, Task, normalised
from tests.data.tasks.test_generator import TASKS

PAGE = Path(__file__).parents[3] / "docs" / "data.md"
LONGEST_EXAMPLE = 90  # characters


def test_the_table_is_what_is_made() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for kind in KINDS.values():
        assert row(kind.name, kind.title) in page


def row(kind: str, title: str) -> str:
    """Return the line of a kind: its first short question to train, and its best constants."""
    shares = " | ".join(best_constant(kind, TASKS[split]) for split in (TRAIN, TEST))
    example = next(
        task for task in TASKS[TRAIN] if task.kind == kind and len(task.question) <= LONGEST_EXAMPLE
    )
    return f"| `{kind}` | {title} | {example.question} → {example.answer} | {shares} |"


def best_constant(kind: str, tasks: list[Task]) -> str:
    same = kind in CASE_MATTERS
    answers = [normalised(t.answer, case_matters=same) for t in tasks if t.kind == kind]
    ((_, most),) = Counter(answers).most_common(1)
    return f"{100 * most / len(answers):.1f}%"
