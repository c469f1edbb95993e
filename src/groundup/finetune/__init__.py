"""Trainings on top of a model that is there: a classifier, an assistant.

Each is a job of the one training loop. `*_step.py` has its loss, `*_rows.py` (of replies
`packing.py`) its batches, `*_job.py` puts them together, and `*_run.py` is the job where it has a
request and a run folder. docs/architecture.md has a table of them.

Each name is imported on first use: what is refused without torch does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundup.base.lazy import on_first_use

if TYPE_CHECKING:
    from groundup.finetune.api import classify as classify
    from groundup.finetune.assistant import Assistant as Assistant
    from groundup.finetune.classifier import Classifier as Classifier
    from groundup.finetune.instruct_api import instruct as instruct
    from groundup.finetune.load import load_assistant as load_assistant
    from groundup.finetune.load import load_classifier as load_classifier
    from groundup.finetune.text_classifier import Prediction as Prediction
    from groundup.finetune.text_classifier import TextClassifier as TextClassifier

_MODULES = {
    "classify": "api",
    "instruct": "instruct_api",
    "Assistant": "assistant",
    "Classifier": "classifier",
    "load_assistant": "load",
    "load_classifier": "load",
    "Prediction": "text_classifier",
    "TextClassifier": "text_classifier",
}

__all__ = [*_MODULES]
__getattr__ = on_first_use("groundup.finetune", _MODULES)
