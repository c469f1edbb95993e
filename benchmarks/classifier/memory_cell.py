"""One case: a few steps of a classifier, judged; its plan beside the peak of the process."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from benchmarks.cells import answer, run_of
from benchmarks.turns import Record, mib
from groundup.config import TrainConfig, build
from groundup.finetune.classifier.request import ClassifyRequest
from groundup.finetune.classifier.run import ClassifyRun
from groundup.finetune.settings import ClassifierSettings, training_defaults
from groundup.train.driver import drive
from groundup.train.listener import Screen
from groundup.train.recorder import Recorder

STEPS = 3
"""By then the optimizer's averages are there, and the longest batches have been."""


def request_of(job: Record) -> ClassifyRequest:
    """Return the request of a case."""
    work = Path(job["work"])
    own = {"steps": STEPS, "batch_size": job["batch"], "method": job["method"]}
    own |= {"precision": job["precision"], "threads": job["threads"], "device": "cpu"}
    return ClassifyRequest(
        **run_of(job),
        records=(str(work / job["records"]),),
        reading={"text_field": "text", "label_field": "label"},
        classifier=ClassifierSettings(layers=job["layers"], pooling="last", max_length=job["most"]),
        train=build(TrainConfig, training_defaults(job["layers"]) | own),
    )


def result(job: Record) -> Record:
    """Train and judge; return what was planned and the peak of this process (MiB)."""
    request = request_of(job)
    shutil.rmtree(request.folder.path, ignore_errors=True)  # what goes on has another peak
    request.check()
    run = ClassifyRun(request)
    drive(run, Recorder(request.folder), Screen())
    plan = request.folder.read().plan
    assert plan is not None, "it was planned"
    assert plan.memory_mib is not None, "with its memory"
    shutil.rmtree(request.folder.path)
    return {
        "longest": run.widest.context_length,
        "planned_mib": plan.memory_mib["total"],
        "peak_memory_mib": mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
    }


if __name__ == "__main__":
    answer(result)
