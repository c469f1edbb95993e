"""The jobs of all kinds of training, for `groundup.train.replay`: fine-tunings among them."""

from __future__ import annotations

from groundup.finetune.assistant.choose import recorded_assistant
from groundup.finetune.classifier.request import recorded_classify
from groundup.finetune.classifier.run import ClassifyRun
from groundup.runs import RunFolder
from groundup.runs.assistant import ASSISTANT
from groundup.runs.classifier import CLASSIFIER
from groundup.train import replay


def recorded_classifier(folder: RunFolder) -> ClassifyRun:
    """Return the training that the run in `folder` is."""
    job = ClassifyRun(recorded_classify(folder))
    job.take_over(folder.read())
    return job


JOBS: replay.Jobs = {
    **replay.JOBS,
    CLASSIFIER: recorded_classifier,
    ASSISTANT: recorded_assistant,
}
