"""What a job's step and its batches must be, told where they are not."""

from __future__ import annotations

from typing import Any

from groundup.base.errors import DataError, UsageError
from groundup.config import foreign_parts, parameter_shapes
from groundup.data import Batch, Source
from groundup.optim.step import Step
from groundup.runs.manifest import PRETRAINING
from groundup.train.job import Job


def check_step(step: Step[Any]) -> None:
    """Refuse a step of which something would be learnt and not kept, or not learnt unsaid."""
    model = step.model
    if not any(p.requires_grad for p in model.parameters()):
        raise UsageError("no parameter of the model requires a gradient: there is none to learn")
    moved, kept = set(model.parameters()), set(step.kept().values())
    for name, parameter in step.named_parameters():
        if parameter.requires_grad and parameter not in moved:
            raise UsageError(
                f"{name} of the step requires a gradient, but only its model learns; make it a "
                "part of the model, or write requires_grad_(False)"
            )
        if parameter.requires_grad and parameter not in kept:
            raise UsageError(
                f"{name} learns, but `kept` of the step leaves it out of checkpoints; add it there"
            )


def check_extra(job: Job[Any], step: Step[Any]) -> None:
    """Refuse what a checkpoint would hold and `load` not know."""
    if (job.kind == PRETRAINING and not job.extra) or foreign_parts(job.config):
        return
    known = {p.name: p.shape for p in parameter_shapes(job.config)}
    known |= {name: tuple(shape) for name, shape in job.extra.items()}
    for name, parameter in step.kept().items():
        if known.get(name) != (shape := tuple(parameter.shape)):
            raise UsageError(
                f"{name} is kept, of the shape {shape}, but no GPT has it and `extra` of the job "
                f"says {known.get(name, 'nothing')}; write its shape there"
            )


def checked_rows(source: Source, first: int, n: int) -> Batch:
    """Return rows `first` to `first + n - 1`; refuse any other number of them."""
    batch = source.rows(first, n)
    if batch.n_rows != n:
        raise DataError(
            f"rows({first}, {n}) of the training data returned {batch.n_rows} rows: expected "
            f"{n}; after its last row it begins anew"
        )
    return batch
