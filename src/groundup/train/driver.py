"""From a job to a finished run: decide, build, restore, fit, report. It knows no kind of job."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from groundup.base.errors import UsageError
from groundup.base.signals import Requests
from groundup.config import TrainConfig, as_table, build, foreign_parts, parameter_shapes
from groundup.device.machine import machine
from groundup.optim.step import Step
from groundup.plan import Plan, check_fits
from groundup.processes.alone import ALONE, Alone
from groundup.processes.exact import Exact
from groundup.processes.launch import place
from groundup.runs import RunFolder
from groundup.runs.checkpoint import Checkpoint
from groundup.runs.load import check_fit
from groundup.runs.manifest import PRETRAINING, Manifest, PlanTable
from groundup.train.choices import AUTOMATIC, Choices, choose
from groundup.train.guard import State
from groundup.train.job import Job
from groundup.train.listener import Listener, Screen, Tensors
from groundup.train.loop import Trainer
from groundup.train.progress import Progress
from groundup.train.recorder import Keeper
from groundup.train.resume import Identity, check_new, compatible, tell_inexact, versions
from groundup.train.shortage import explained


@dataclass(frozen=True)
class TrainRun:
    """How a run ended: finished now, finished already, or stopped by a signal."""

    folder: RunFolder
    progress: Progress
    signal: int | None = None
    was_finished: bool = False


Outcome = TrainRun
"""What it was called at first."""


def drive(
    job: Job[Any],
    keeper: Keeper,
    screen: Screen,
    started: float | None = None,
    requests: Requests | None = None,
    ranks: Alone | None = None,
    listeners: Sequence[Listener] = (),
) -> TrainRun:
    """Train, or go on where the same job stopped; return how it ended.

    `keeper` keeps what comes of it, in a folder or not at all. `requests` are what signals have
    asked for since the process began, where somebody listened; `ranks` the processes that train
    together, where they are not those that a launcher has started.

    Raises `UsageError` when the folder holds a run of other settings, `RunError` when it is in use
    or damaged, and whatever the data, the machine or the disk give reason to.
    """
    started = time.perf_counter() if started is None else started
    with contextlib.ExitStack() as held:
        requests = held.enter_context(Requests()) if requests is None else requests
        ranks = held.enter_context(_joined(job, screen)) if ranks is None else ranks
        screen = Screen() if ranks.rank else screen
        decide = partial(_decide, job, keeper, screen, ranks.size, held)
        tables, saved = ranks.broadcast(decide)
        manifest, checkpoint = Manifest.of(tables), keeper.checkpoint(saved)
        progress = Progress() if checkpoint is None else progress_at(checkpoint)
        choices = _choices(manifest, job, ranks.size)
        was_finished = progress.finished and progress.step >= choices.config.steps
        if not was_finished:
            if ranks.rank:
                job.prepare(screen)  # as the first process has done
            plan = job.plan(choices.config)
            check_fits(plan)
            manifest = _with_plan(manifest, plan)
            heard = () if ranks.rank else (keeper, screen, *listeners)
            with choices.in_force():
                trainer = _trainer(job, keeper, manifest, choices, saved, ranks, heard, started)
                if ranks.rank == 0:
                    keeper.begin(manifest, job, checkpoint)
                screen.planned(plan, choices, keeper.folder)
                if checkpoint is not None:
                    tell_inexact(manifest.as_table(), _computing(choices), screen.notice)
                    progress.finished = False  # it may have been lengthened
                    trainer.restore(progress, *_tensors(checkpoint, trainer.step))
                    screen.resumed(progress)
                requests.patient = True
                with explained(plan, choices.device):
                    progress = trainer.fit(requests)
                requests.patient = False
        if ranks.rank == 0 and not (was_finished and keeper.folder.report.exists()):
            # The lock is still held, so that the files alone would tell of a running trainer.
            keeper.report(progress.finished)
    stop = None if was_finished else requests.stop
    return TrainRun(keeper.folder, progress, stop, was_finished)


@contextlib.contextmanager
def _joined(job: Job[Any], screen: Screen) -> Iterator[Alone]:
    """Yield what this process is among those that a launcher has started, if it has."""
    if (own := place()) is None:
        yield ALONE
        return
    from groundup.processes.distributed import joined  # a second of imports

    with joined(own, job.settings.timeout, screen.notice) as ranks:
        yield ranks


def _decide(
    job: Job[Any], keeper: Keeper, screen: Screen, n_processes: int, held: contextlib.ExitStack
) -> tuple[dict[str, Any], int | None]:
    """Return what all processes must know: run.toml's tables, and the step to go on from.

    From here on the run's lock is held.
    """
    settings = keeper.decided() or job.settings
    choices = choose(settings, job.config, job.rate_share, job.own_process, n_processes)
    check_fits(job.plan(choices.config))  # before the data is read
    job.prepare(screen)
    identity = _identity(job)
    held.enter_context(keeper.locked())
    if keeper.folder.exists():
        manifest = compatible(keeper.folder, identity, job.extend, screen.notice)
    else:
        check_new(keeper.folder, job.extend)
        manifest = _new_manifest(job, choices, identity.request)
    return manifest.as_table(), keeper.newest(screen.notice)


def _identity(job: Job[Any]) -> Identity:
    """Return what makes two requests the same run: what the job says, on the same base."""
    identity = replace(job.identity(), kind=job.kind)
    if job.base is None:
        return identity
    base = {"run": job.base.run, "weights": job.base.sha256}
    return replace(identity, request={**identity.request, "from": base})


def _new_manifest(job: Job[Any], choices: Choices, request: dict[str, Any]) -> Manifest:
    """Return a new run's run.toml."""
    settings = choices.config
    if settings.epochs is not None:  # the data has been read, and its length is known
        settings = replace(settings, steps=job.steps(settings.epochs, settings))
    taken = {name: getattr(settings, name) for name in AUTOMATIC}
    return Manifest.of(
        {
            "model": as_table(job.config),
            "train": as_table(settings),
            "data": job.data_table(),
            **_kind(job),
            "choices": {**taken, "reasons": choices.reasons},
            "request": request,
            **_computing(choices),
        }
    )


def _kind(job: Job[Any]) -> dict[str, Any]:
    """Return what run.toml says of the kind of training; nothing where that goes without saying."""
    tables: dict[str, Any] = {}
    if job.kind != PRETRAINING:
        tables["job"] = {"kind": job.kind, "tensors": {k: list(v) for k, v in job.extra.items()}}
    if job.base is not None:
        tables["base"] = job.base.as_table()
    return tables


def _computing(choices: Choices) -> dict[str, Any]:
    """Return what run.toml says of the packages and the machine that compute."""
    return {"versions": versions(), "machine": machine(choices.device)}


def _choices(manifest: Manifest, job: Job[Any], n_processes: int) -> Choices:
    """Return the choices that run.toml tells of."""
    settings = build(TrainConfig, manifest.train or {})
    own_process = job.own_process or settings.allocator in ("keep", "release")
    reasons = (manifest.choices or {}).get("reasons", {})
    return Choices(settings, reasons, own_process, n_processes)


def _with_plan(manifest: Manifest, plan: Plan) -> Manifest:
    """Return run.toml with what the run takes; what was written there before stays."""
    planned = {
        "parameters": plan.parameters,
        "flops_per_token": plan.flops_per_token,
        "memory_mib": {name: round(size / 2**20, 1) for name, size in plan.memory.items()},
        "memory_unknown": list(plan.unknown_memory),
    }
    known = {key: value for key, value in planned.items() if value}
    before = manifest.plan.as_table() if manifest.plan else {}
    return replace(manifest, plan=PlanTable.of(known | before))


def _arranged(ranks: Alone, choices: Choices) -> Alone:
    """Return the processes, or the only one, working together as the settings say."""
    if ranks.size == 1:
        return Exact() if choices.config.exact == "on" else ranks
    from groundup.processes.distributed import arrange

    return arrange(ranks, choices.config, choices.device)


def _trainer(
    job: Job[Any],
    keeper: Keeper,
    manifest: Manifest,
    choices: Choices,
    saved: int | None,
    ranks: Alone,
    listeners: Sequence[Listener],
    started: float,
) -> Trainer:
    """Return what trains the job's model: as it is at step 0, or about to be restored."""
    world, plan = _arranged(ranks, choices), manifest.plan or PlanTable()
    model = job.model(choices.config.seed) if saved is None else job.skeleton()
    step = job.step(model.to(choices.device), choices)
    _check_extra(job, step)
    trainer = Trainer(
        step=step,
        batches=job.source(choices.config),
        choices=choices,
        evaluate=partial(job.evaluate, step, choices, world),
        sample=partial(job.sample, step, choices, world),
        listeners=list(listeners),
        last_checkpoint=partial(_last_state, keeper, step, world),
        world=world,
        started=started,
        timed=plan.seconds_per_step is not None,
        flops_per_token=plan.flops_per_token or 0.0,
        peak_flops=keeper.peak_flops(choices) if plan.flops_per_token else None,
    )
    world.watch(trainer)
    return trainer


def _check_extra(job: Job[Any], step: Step[Any]) -> None:
    """Refuse what a checkpoint would hold and `load` not know."""
    if job.kind == PRETRAINING or foreign_parts(job.config):
        return
    known = {p.name: p.shape for p in parameter_shapes(job.config)}
    known |= {name: tuple(shape) for name, shape in job.extra.items()}
    for name, parameter in step.kept().items():
        if known.get(name) != (shape := tuple(parameter.shape)):
            raise UsageError(
                f"{name} is kept, of the shape {shape}, but no GPT has it and `extra` of the job "
                f"says {known.get(name, 'nothing')}; write its shape there"
            )


def _last_state(keeper: Keeper, step: Step[Any], world: Alone) -> State | None:
    """Return the newest checkpoint, if any, after which all that was written is forgotten."""
    checkpoint = keeper.checkpoint(world.broadcast(keeper.rewind))
    return None if checkpoint is None else (progress_at(checkpoint), *_tensors(checkpoint, step))


def _tensors(checkpoint: Checkpoint, step: Step[Any]) -> tuple[Tensors, Tensors]:
    """Return weights and optimizer memory of a checkpoint, which must be what the step keeps."""
    weights = checkpoint.model_tensors()
    check_fit(step.kept(), weights, checkpoint.path)
    return weights, checkpoint.trainer_tensors()


def progress_at(checkpoint: Checkpoint) -> Progress:
    """Return how far a training had come."""
    return Progress.from_state(checkpoint.state(), checkpoint.path)
