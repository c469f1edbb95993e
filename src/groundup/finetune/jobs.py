"""The jobs of fine-tuned runs, found again: for `groundup.train.replay`."""

from __future__ import annotations

from groundup.finetune.instruct_request import recorded_instruct
from groundup.finetune.instruct_run import InstructRun
from groundup.runs import RunFolder
from groundup.runs.assistant import ASSISTANT
from groundup.train.replay import JOBS as PRETRAINING_JOBS
from groundup.train.replay import Jobs


def _assistant(folder: RunFolder) -> InstructRun:
    return InstructRun(recorded_instruct(folder))


JOBS: Jobs = {**PRETRAINING_JOBS, ASSISTANT: _assistant}
"""Makes the job of a run, by the kind of it that run.toml names."""
