"""From a checkpoint back to a training that goes on from it."""

from __future__ import annotations

from typing import Any

from groundup.optim.step import Step
from groundup.processes.alone import Alone
from groundup.runs.checkpoint import Checkpoint
from groundup.runs.load import check_fit
from groundup.train.guard import State
from groundup.train.loop import Trainer
from groundup.train.progress import Progress
from groundup.train.recorder import Keeper


def progress_at(checkpoint: Checkpoint | None) -> Progress:
    """Return how far a training had come: nowhere without a checkpoint."""
    if checkpoint is None:
        return Progress()
    return Progress.from_state(checkpoint.state(), checkpoint.path)


def state_at(checkpoint: Checkpoint, step: Step[Any]) -> State:
    """Return progress, weights and optimizer memory; the weights must be what the step keeps."""
    weights = checkpoint.model_tensors()
    check_fit(step.kept(), weights, checkpoint.path)
    return progress_at(checkpoint), weights, checkpoint.trainer_tensors()


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Let a training go on from a checkpoint."""
    progress, weights, memory = state_at(checkpoint, trainer.step)
    progress.finished = False  # it may have been lengthened
    trainer.clock.spent = progress.wall_seconds
    trainer.restore(progress, weights, memory)


def last_state(keeper: Keeper, step: Step[Any], world: Alone) -> State | None:
    """Return the newest checkpoint, if any, after which all that was written is forgotten."""
    checkpoint = keeper.checkpoint(world.broadcast(keeper.rewind))
    return None if checkpoint is None else state_at(checkpoint, step)
