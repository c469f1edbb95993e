"""From a job to a finished run: decide, build, restore, fit, report. It knows no kind of job."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from groundup.base.signals import Requests
from groundup.config import TrainConfig, build
from groundup.optim.step import Step
from groundup.plan import check_fits
from groundup.processes.alone import ALONE, Alone
from groundup.processes.exact import Exact
from groundup.processes.launch import place
from groundup.runs import RunFolder
from groundup.runs.checkpoint import Checkpoint
from groundup.runs.load import check_fit
from groundup.runs.manifest import Manifest, PlanTable
from groundup.train.choices import Choices, choose
from groundup.train.guard import State
from groundup.train.job import Job
from groundup.train.listener import Listener, Screen, Tensors
from groundup.train.loop import Trainer
from groundup.train.progress import Progress
from groundup.train.recorder import Keeper, computing, new_manifest, with_plan
from groundup.train.resume import Identity, check_new, compatible, tell_inexact
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
            manifest = with_plan(manifest, plan)
            heard = () if ranks.rank else (keeper, screen, *listeners)
            with choices.in_force():
                trainer = _trainer(job, keeper, manifest, choices, saved, ranks, heard, started)
                if ranks.rank == 0:
                    keeper.begin(manifest, job, checkpoint)
                screen.planned(plan, choices, keeper.folder)
                if checkpoint is not None:
                    tell_inexact(manifest.as_table(), computing(choices), screen.notice)
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
        manifest = new_manifest(job, choices, identity.request)
    return manifest.as_table(), keeper.newest(screen.notice)


def _identity(job: Job[Any]) -> Identity:
    """Return what makes two requests the same run: what the job says, on the same base."""
    identity = replace(job.identity(), kind=job.kind)
    if job.base is None:
        return identity
    base = {"run": job.base.run, "weights": job.base.sha256}
    return replace(identity, request={**identity.request, "from": base})


def _choices(manifest: Manifest, job: Job[Any], n_processes: int) -> Choices:
    """Return the choices that run.toml tells of."""
    settings = build(TrainConfig, manifest.train or {})
    own_process = job.own_process or settings.allocator in ("keep", "release")
    reasons = (manifest.choices or {}).get("reasons", {})
    return Choices(settings, reasons, own_process, n_processes)


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
