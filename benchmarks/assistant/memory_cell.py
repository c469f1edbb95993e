"""One case: a few steps of an assistant, judged; its plan beside the peak of the process."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from benchmarks.cells import answer, run_of
from benchmarks.turns import Record, mib
from groundup.config import TrainConfig, build
from groundup.finetune.assistant.choose import assistant_run
from groundup.finetune.assistant.request import InstructRequest
from groundup.finetune.settings import InstructSettings, instruct_defaults
from groundup.train.driver import drive
from groundup.train.listener import Screen
from groundup.train.recorder import Recorder

STEPS = 24
"""By then the fullest rows have been, and the heap has the holes that it gets."""


def request_of(job: Record) -> InstructRequest:
    """Return the request of a case."""
    work = Path(job["work"])
    own = {"steps": STEPS, "batch_size": 1, "method": job["method"], "sample_tokens": 0}
    own |= {"precision": job["precision"], "threads": job["threads"], "device": "cpu"}
    return InstructRequest(
        **run_of(job),
        records=(str(work / job["records"]),),
        instruct=InstructSettings(max_length=job["row"], n_replies=job["replies"]),
        train=build(TrainConfig, instruct_defaults() | own),
    )


def result(job: Record) -> Record:
    """Train and judge; return what was planned, the peak of this process (MiB), and the numbers."""
    request = request_of(job)
    folder = request.folder
    shutil.rmtree(folder.path, ignore_errors=True)  # what goes on has another peak
    request.check()
    drive(assistant_run(request), Recorder(folder), Screen())
    manifest = folder.read()
    assert manifest.plan is not None, "it was planned"
    assert manifest.plan.memory_mib is not None, "with its memory"
    found = {
        "planned_mib": manifest.plan.memory_mib["total"],
        "peak_memory_mib": mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
        "numbers": folder.train_config(manifest).precision,
    }
    shutil.rmtree(folder.path)
    return found


if __name__ == "__main__":
    answer(result)
