"""From a run folder back to a classifier, or an assistant, that can be used."""

from __future__ import annotations

from pathlib import Path

import torch

from groundup.base.errors import RunError, UsageError
from groundup.finetune.assistant.assistant import Assistant
from groundup.finetune.classifier.model import Classifier
from groundup.finetune.classifier.text_classifier import TextClassifier
from groundup.runs import RunFolder
from groundup.runs.classifier import HEAD, classifier_table
from groundup.runs.load import load


def load_classifier(
    path: str | Path, checkpoint: str | int = "best", device: str = "cpu"
) -> TextClassifier:
    """Return the classifier of a run folder, in evaluation mode and in fp32.

    `checkpoint` is "best" (lowest validation loss), "latest" or a step number. Raises `UsageError`
    for a run that is no classifier, and what `groundup.load` raises.
    """
    folder = RunFolder(Path(path))
    manifest = folder.read()
    table = classifier_table(folder, manifest)
    labels = table.labels
    loaded = load(path, checkpoint, device)
    if HEAD not in loaded.extra or len(loaded.extra[HEAD]) != len(labels):
        raise RunError(f"{path}: its head is not one of {len(labels)} labels; restore run.toml")
    model = Classifier(loaded.model, len(labels), table.pooling)
    model.head.weight = torch.nn.Parameter(loaded.extra[HEAD])
    return TextClassifier(
        model=model.eval().requires_grad_(False),
        tokenizer=loaded.tokenizer,
        labels=labels,
        max_length=table.max_length,
        start=loaded.generation.get("start_token"),
        step=loaded.step,
        notices=tuple(loaded.notices),
    )


def load_assistant(
    path: str | Path, checkpoint: str | int = "best", device: str = "cpu"
) -> Assistant:
    """Return the assistant of a run folder, trained here or imported, as `load` does a model.

    Raises `UsageError` for a run without a chat template, and what `groundup.load` raises.
    """
    loaded = load(path, checkpoint, device)
    if loaded.chat_template is None:
        raise UsageError(
            f"{path} has no chat template: it continues texts, as generate() does; "
            f"'groundup finetune instruct {path}' makes an assistant of it"
        )
    return Assistant(
        model=loaded.model,
        tokenizer=loaded.tokenizer,
        chat_template=loaded.chat_template,
        generation=loaded.generation,
        step=loaded.step,
        notices=tuple(loaded.notices),
    )
