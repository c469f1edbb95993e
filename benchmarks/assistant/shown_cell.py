"""The test questions of the tasks, answered by a model that was taught none of them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from benchmarks.cells import answer
from benchmarks.turns import Record
from groundup.data.dialogue import Message
from groundup.data.tasks import KINDS, TEST, TRAIN, Task, make_tasks
from groundup.evaluate.reply_scores import score_tasks
from groundup.generate import write_replies
from groundup.generate.run_settings import run_template
from groundup.runs.load import load

POOL = 50
"""Training tasks of a kind, among which the examples are drawn."""


def result(job: Record) -> Record:
    """Return the figures of the replies behind so many answered questions of the same kind.

    These are turns of the dialogue, or lines of the message that asks.
    """
    run = load(Path(job["work"]) / job["base"])
    template = run_template(run)
    assert template is not None, "it can be talked with"
    chance = random.Random(job["seed"])
    tasks, texts, n_ended = list[Task](), list[str](), 0
    for kind in KINDS:
        examples = chance.sample(make_tasks(TRAIN, POOL, kinds=[kind]), job["shots"])
        asked = make_tasks(TEST, job["per_kind"], kinds=[kind])
        lines = job["examples"] == "lines"
        replies = write_replies(
            run.model,
            run.tokenizer,
            template,
            [[_said("user", _lines(examples, task) if lines else task.question)] for task in asked],
            examples=[] if lines else [_turns(one) for one in examples],
            stop_tokens=run.generation.get("stop_tokens", ()),
        )
        tasks += asked
        texts += [reply.text for reply in replies]
        n_ended += sum(reply.ended for reply in replies)
    found = score_tasks(tasks, texts)
    figures: dict[str, Any] = {
        "exact": found.exact,
        "exact_interval": found.exact_interval,
        "token_f1": found.token_f1,
        "kinds": {one.kind: one.exact for one in found.kinds},
        "ended": n_ended / len(texts),
    }
    return figures


def _turns(task: Task) -> list[Message]:
    return [_said("user", task.question), _said("assistant", task.answer)]


def _lines(examples: list[Task], asked: Task) -> str:
    answered = [f"Question: {one.question}\nAnswer: {one.answer}\n\n" for one in examples]
    return f"{''.join(answered)}Question: {asked.question}\nAnswer:"


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


if __name__ == "__main__":
    answer(result)
