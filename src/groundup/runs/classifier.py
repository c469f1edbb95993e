"""What run.toml says of a classifier: a GPT with a head that scores labels."""

from __future__ import annotations

from dataclasses import dataclass

from groundup.base.errors import RunError, UsageError, shown
from groundup.runs.folder import RunFolder
from groundup.runs.manifest import Manifest

CLASSIFIER = "classifier"
"""What run.toml calls this kind of training."""
HEAD = "head.weight"
"""What a checkpoint calls the head, (labels, emb_dim)."""
POOLINGS = ("last", "mean")
"""What the head sees of a text: the vector of its last token, or the mean over all of them."""


@dataclass(frozen=True, kw_only=True)
class ClassifierTable:
    """What there is to know of a classifier beside its weights."""

    labels: tuple[str, ...]
    pooling: str
    max_length: int
    """Tokens of a text that are read."""


def classifier_table(folder: RunFolder, manifest: Manifest) -> ClassifierTable:
    """Return what run.toml says of a classifier; another kind of run is a `UsageError`."""
    if manifest.kind != CLASSIFIER or manifest.job is None:
        raise UsageError(
            f"{folder.path} is no classifier (a training of the kind {shown(manifest.kind)}); "
            f"'groundup finetune classify {folder.path} --records FILE' makes one of it"
        )
    labels, settings = manifest.job.labels or [], manifest.job.settings or {}
    pooling, length = settings.get("pooling"), settings.get("max_length")
    known = len(labels) > 1 and all(isinstance(label, str) for label in labels)
    known = known and len(set(labels)) == len(labels)
    if not known or pooling not in POOLINGS or type(length) is not int or length < 1:
        raise RunError(
            f"{folder.manifest}: expected labels, settings.pooling and settings.max_length in "
            "[job]; restore the file"
        )
    context = folder.model_config(manifest).context_length
    return ClassifierTable(labels=tuple(labels), pooling=pooling, max_length=min(length, context))


def is_classifier(folder: RunFolder, manifest: Manifest, instead: str) -> UsageError:
    """Return the error that a run is a classifier; `instead` says what to do."""
    labels = shown(", ".join(map(str, (manifest.job and manifest.job.labels) or ())), 200)
    return UsageError(f"{folder.path} is a classifier ({labels}); {instead}")


def asks_it(folder: RunFolder) -> str:
    """Return what is done with a classifier."""
    return f"'groundup classify {folder.path} TEXT' asks it"


def origin_of(manifest: Manifest) -> str:
    """Return the run that a classifier was made from."""
    known = manifest.request and manifest.request.from_
    return str(known.run) if known and known.run else "the model that it was made from"
