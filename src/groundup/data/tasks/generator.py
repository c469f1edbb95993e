"""Tasks with answers that can be checked, made from a seed, the same on every machine.

Templates, and the values that fill them, are either for training or for the test. No question comes
twice, and no answer makes up more than `MOST_OF_ONE_ANSWER` of a kind's tasks in a split.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from groundup.base.errors import UsageError, nearest, shown
from groundup.data.tasks.checker import is_right
from groundup.data.tasks.draws import TEST, TRAIN, Draws
from groundup.data.tasks.form import Form
from groundup.data.tasks.kinds import KINDS, Kind
from groundup.data.text_fields import Records

SEED = 1
PER_KIND = {TRAIN: 200, TEST: 50}
MOST_OF_ONE_ANSWER = 0.15
MOST_TRIES = 100  # for each task


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question with its one right answer, and of which template and values it is made.

    The values are all that was drawn for it; a template may not use each of them.
    """

    kind: str
    question: str
    answer: str
    split: str
    template: str
    values: tuple[str, ...]

    def is_right(self, reply: str) -> bool:
        """Say whether a reply is the answer; `checker.is_right` says what is forgiven."""
        return is_right(self.answer, reply, self.kind)

    def record(self) -> dict[str, str]:
        """Return the task as a record with a prompt and a completion."""
        return {
            "prompt": self.question,
            "completion": self.answer,
            "kind": self.kind,
            "split": self.split,
        }


def make_tasks(
    split: str, per_kind: int, seed: int = SEED, kinds: Sequence[str] = tuple(KINDS)
) -> list[Task]:
    """Return `per_kind` tasks of each of some kinds, in turn; `split` is "train" or "test".

    Those of a kind are the same whatever the others. Raises `UsageError` for an unknown split or
    kind, and for more than there are different questions.
    """
    if split not in (TRAIN, TEST):
        raise UsageError(f"split = {shown(split)}: expected {TRAIN} or {TEST}")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"{shown(unknown[0])} is no kind of tasks; {nearest(unknown[0], KINDS)}")
    made = [_tasks_of(KINDS[kind], split, per_kind, seed) for kind in kinds]
    return [task for row in zip(*made, strict=True) for task in row]


def _tasks_of(kind: Kind, split: str, n: int, seed: int) -> list[Task]:
    draws = Draws(split, seed, kind.name)
    forms = [form for form in kind.forms if form.templates[split]]
    most, answers = max(1, int(n * MOST_OF_ONE_ANSWER)), Counter[str]()
    found: dict[str, Task] = {}
    for attempt in range(n * MOST_TRIES):
        if len(found) == n:
            break
        turn, place = divmod(attempt, len(forms))  # forms take turns, and so do their templates
        task = _task(kind.name, forms[place], turn, draws)
        if task.question not in found and answers[task.answer] < most:
            found[task.question] = task
            answers[task.answer] += 1
    if len(found) < n:
        raise UsageError(
            f"{n:,} tasks of the kind {kind.name} to {split}: only {len(found):,} different ones "
            "were found; ask for fewer"
        )
    return list(found.values())


def _task(kind: str, form: Form, turn: int, draws: Draws) -> Task:
    filled = None
    while filled is None:
        draws.begin()
        filled = form.fill(draws)
    templates = form.templates[draws.split]
    template = templates[turn % len(templates)]
    return Task(
        kind=kind,
        question=template.format(**filled.gaps),
        answer=filled.answer,
        split=draws.split,
        template=f"{template} {filled.shape}".strip(),
        values=tuple(draws.values),
    )


@functools.cache
def named_kinds() -> dict[str, str]:
    """Return the kind of each question of the named records `tasks`."""
    made = [task for split, n in PER_KIND.items() for task in make_tasks(split, n)]
    return {task.question: task.kind for task in made}


def task_records() -> Records:
    """Yield the named records `tasks`: where each stands, and the task; those to train first."""
    for split, per_kind in PER_KIND.items():
        for number, task in enumerate(make_tasks(split, per_kind), 1):
            yield f"tasks, {split} {number}", task.record()
