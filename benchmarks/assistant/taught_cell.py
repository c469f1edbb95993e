"""A model that has learnt from the tasks: what its own judging says, before and after."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.cells import answer, run_of
from benchmarks.turns import Record
from groundup.base.signals import Interrupted
from groundup.config import TrainConfig, build
from groundup.data.tasks import KINDS
from groundup.finetune.assistant.choose import assistant_run
from groundup.finetune.assistant.request import InstructRequest
from groundup.finetune.settings import InstructSettings, instruct_defaults
from groundup.runs.assistant import read_assistant
from groundup.train.driver import drive
from groundup.train.listener import Screen
from groundup.train.recorder import Recorder

STARTED = time.perf_counter()


def request_of(job: Record) -> InstructRequest:
    """Return the request of an assistant that is asked all test questions."""
    own: dict[str, Any] = {"threads": job["threads"], "device": "cpu", "method": job["way"]}
    own |= {"seed": job["seed"], "sample_tokens": 0, **job["length"]}
    return InstructRequest(
        **run_of(job),
        records=("tasks",),
        reading={"split_seed": job["seed"]},
        instruct=InstructSettings(
            n_replies=job["per_kind"] * len(KINDS),
            general_text=job["general"],
            mix_text=job["mix"],
        ),
        train=build(TrainConfig, instruct_defaults() | own),
    )


def result(job: Record) -> Record:
    """Train an assistant, or go on; return what its test showed."""
    request = request_of(job)
    request.check()
    done = drive(assistant_run(request), Recorder(request.folder), Screen(), STARTED)
    if not done.progress.finished:
        raise Interrupted(done.signal or 2)
    record = read_assistant(request.folder.assistant)
    assert record is not None, "it is judged"
    settings = request.folder.train_config(request.folder.read())
    found = record.as_dict()
    return {
        **{name: found[name] for name in ("before", "after", "asked", "padding")},
        "steps": done.progress.step,
        "seconds": done.progress.seconds,
        "precision": settings.precision,
        "learning_rate": settings.learning_rate,
    }


if __name__ == "__main__":
    answer(result)
