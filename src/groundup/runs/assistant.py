"""What run.toml says of an assistant: a GPT that answers in the turns of a chat template."""

from __future__ import annotations

from dataclasses import replace

from groundup.runs.manifest import JobTable, Manifest

ASSISTANT = "assistant"
"""What run.toml calls this kind of training."""


def job_of_whole(manifest: Manifest) -> JobTable | None:
    """Return [job] of a run that is made of another one, with all of its weights in it.

    An assistant stays one: its losses are of replies. None where it is no more than a GPT.
    """
    if manifest.job is None or not (manifest.extra or manifest.kind == ASSISTANT):
        return None
    return replace(manifest.job, tensors=manifest.extra or None)
