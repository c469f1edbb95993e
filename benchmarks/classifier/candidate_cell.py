"""One candidate: a classifier as `groundup finetune classify` makes it, but for the test.

It is a run folder that goes on where it was stopped. What it reaches is measured on the validation
texts; the test waits for the candidate that is chosen.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.cells import answer, run_of
from benchmarks.turns import Record
from groundup.base.signals import Interrupted
from groundup.config import TrainConfig, build
from groundup.evaluate.classification import Classification, macro_f1
from groundup.finetune.classifier.request import ClassifyRequest
from groundup.finetune.classifier.rows import labelled_rows
from groundup.finetune.classifier.run import ClassifyRun
from groundup.finetune.classifier.text_classifier import scores_of, softmax
from groundup.finetune.load import load_classifier
from groundup.finetune.settings import ClassifierSettings, training_defaults
from groundup.runs import RunFolder
from groundup.train.driver import drive
from groundup.train.listener import Screen
from groundup.train.recorder import Recorder

STARTED = time.perf_counter()


class Candidate(ClassifyRun):
    """A classifier that is not tested yet."""

    def finish(self, folder: RunFolder, screen: Screen) -> None:
        """Leave the test texts alone."""


def request_of(job: Record, length: dict[str, float]) -> ClassifyRequest:
    """Return the request of a candidate."""
    work, way = Path(job["work"]), job.get("way", "all")
    method = "lora" if way == "lora" else "full"
    own = {"threads": job["threads"], "device": "cpu", "method": method, **length}
    layers = "all" if way == "lora" else way
    return ClassifyRequest(
        **run_of(job),
        records=tuple(str(work / path) for path in job["records"]),
        reading={
            "text_field": "text",
            "label_field": "label",
            "test_sources": [str(work / path) for path in job["test_records"]],
            "split_seed": job["seed"],
        },
        classifier=ClassifierSettings(
            layers=layers,
            pooling=job.get("pooling", "auto"),
            max_length=job["max_length"],
        ),
        train=build(TrainConfig, training_defaults(layers) | own),
    )


def result(job: Record) -> Record:
    """Train a candidate, or go on; return what it reaches on the validation texts."""
    request = request_of(job, job["length"])
    request.check()
    run = Candidate(request)
    done = drive(run, Recorder(request.folder), Screen(), STARTED)
    if not done.progress.finished:
        raise Interrupted(done.signal or 2)
    made, val = load_classifier(request.folder.path), run.data.examples("val")
    rows = labelled_rows(val, made.labels, made.tokenizer, made.max_length, made.start)
    found = Classification(made.labels, rows.labels, softmax(scores_of(made.model, rows.ids)))
    manifest = request.folder.read()
    assert manifest.job is not None, "it is a classifier"
    settings = request.folder.train_config(manifest)
    return {
        "accuracy": float(found.right.mean()),
        "macro_f1": float(macro_f1(found.confusion)),
        "loss": float(found.losses.mean()),
        "pooling": run.pooling,
        "reasons": manifest.job.reasons or {},
        "precision": settings.precision,
        "steps": done.progress.step,
        "batch_size": settings.batch_size,
        "texts": len(run.train_rows.ids),
    }


if __name__ == "__main__":
    answer(result)
