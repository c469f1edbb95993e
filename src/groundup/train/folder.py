"""What every training in a run folder does, from a command or in Python: lock, tables, way back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from groundup.config import GPTConfig, Parameter, TrainConfig, as_table
from groundup.device.machine import machine
from groundup.device.rates import matmul_rate
from groundup.model import PARTS, Parts
from groundup.plan import Plan, check_fits, make_plan
from groundup.runs import RunFolder, run_lock
from groundup.runs.checkpoint import Checkpoint, newest_intact, remove_unfinished
from groundup.runs.load import check_shapes
from groundup.train.choices import AUTOMATIC, Choices
from groundup.train.guard import State
from groundup.train.progress import Progress
from groundup.train.resume import Notice, versions


@contextlib.contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Hold the run's lock; clear up what a kill left, and the folder where no run came of it."""
    with run_lock(folder.lock):
        try:
            for written in (folder.path, folder.checkpoints):
                remove_unfinished(written)
            yield
        finally:
            if not folder.exists():
                with contextlib.suppress(OSError):
                    folder.lock.unlink(missing_ok=True)
                    folder.path.rmdir()


def run_tables(
    config: GPTConfig, choices: Choices, data: dict[str, Any], request: dict[str, Any]
) -> dict[str, Any]:
    """Return the tables of a new run's run.toml."""
    return {
        "model": as_table(config),
        "train": as_table(choices.config),
        "data": data,
        "choices": {
            **{name: getattr(choices.config, name) for name in AUTOMATIC},
            "reasons": choices.reasons,
        },
        "request": request,
        **current_tables(choices),
    }


def current_tables(choices: Choices) -> dict[str, Any]:
    """Return what run.toml says of the packages and the machine that compute."""
    return {"versions": versions(), "machine": machine(choices.device)}


def checked_plan(
    config: GPTConfig,
    settings: TrainConfig,
    n_tokens: int,
    tables: dict[str, Any],
    parameters: Iterable[Parameter] | None = None,
) -> Plan:
    """Return the plan of a run, put into its `tables`; refuse one that memory has no room for.

    `parameters` are those of a model with a part that groundup does not have.
    """
    settings = replace(settings, epochs=None)
    plan = make_plan(config, settings, train_tokens=n_tokens, parameters=parameters)
    check_fits(plan)
    known = {
        "parameters": plan.parameters,
        "flops_per_token": plan.flops_per_token,
        "memory_mib": {name: round(size / 2**20, 1) for name, size in plan.memory.items()},
        "memory_unknown": list(plan.unknown_memory),
    }
    known = {key: value for key, value in known.items() if value}
    tables["plan"] = known | tables.get("plan", {})
    return plan


def expected(choices: Choices, plan: Plan, tables: dict[str, Any]) -> dict[str, Any]:
    """Return what a `Trainer` is told: the work of a token, the machine's rate, if it was timed."""
    known = {"timed": "seconds_per_step" in tables["plan"]}
    if plan.flops_per_token is None:
        return known
    rate = matmul_rate(choices.device, choices.matmul_dtype)
    return known | {"flops_per_token": plan.flops_per_token, "peak_flops": rate}


def newest_checkpoint(folder: RunFolder, notice: Notice) -> Checkpoint | None:
    """Return the newest intact checkpoint, if any; tell of newer ones that are damaged."""
    checkpoint, damaged = newest_intact(folder.checkpoints)
    for line in damaged:
        notice(f"{line}; going on from the newest intact checkpoint")
    return checkpoint


def progress_at(checkpoint: Checkpoint) -> Progress:
    """Return how far a training had come."""
    return Progress.from_state(checkpoint.state(), checkpoint.path)


def state_at(checkpoint: Checkpoint, config: GPTConfig, parts: Parts = PARTS) -> State:
    """Return what is restored of a checkpoint of a model of this config."""
    weights = checkpoint.model_tensors()
    check_shapes(config, weights, checkpoint.path, parts=parts)
    return progress_at(checkpoint), weights, checkpoint.trainer_tensors()
