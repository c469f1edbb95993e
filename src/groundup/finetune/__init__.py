"""Trainings on top of a model that is there: a classifier, an assistant.

Each kind is a job of the one training loop and has a folder: `step.py` has its loss, `rows.py` its
batches, `job.py` puts them together, and `run.py` is the job where it has a request and a run
folder. docs/architecture.md has a table of them. Beside them stands what all kinds share.

Each name is imported on first use: what is refused without torch does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundup.base.lazy import on_first_use

if TYPE_CHECKING:
    from groundup.finetune.assistant.assistant import Assistant as Assistant
    from groundup.finetune.classifier.api import classify as classify
    from groundup.finetune.classifier.model import Classifier as Classifier
    from groundup.finetune.classifier.text_classifier import Prediction as Prediction
    from groundup.finetune.classifier.text_classifier import TextClassifier as TextClassifier
    from groundup.finetune.load import load_assistant as load_assistant
    from groundup.finetune.load import load_classifier as load_classifier
    from groundup.finetune.replies.api import instruct as instruct

_MODULES = {
    "classify": "classifier.api",
    "instruct": "replies.api",
    "Assistant": "assistant.assistant",
    "Classifier": "classifier.model",
    "load_assistant": "load",
    "load_classifier": "load",
    "Prediction": "classifier.text_classifier",
    "TextClassifier": "classifier.text_classifier",
}

__all__ = [*_MODULES]
__getattr__ = on_first_use("groundup.finetune", _MODULES)
