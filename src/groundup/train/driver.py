"""From a job to a finished run: decide, build, restore, fit, report. It knows no kind of job."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from groundup.base.signals import Requests
from groundup.config import TrainConfig, build
from groundup.device.allocator import give_back
from groundup.device.products import DEFAULT, ONEDNN, onednn_is_exact
from groundup.plan import check_fits
from groundup.processes.alone import Alone
from groundup.processes.together import arranged, joined
from groundup.runs import RunFolder
from groundup.runs.manifest import Manifest, PlanTable
from groundup.runs.own import sealed_if_same
from groundup.train.choices import Choices, choose
from groundup.train.decisions import recorded, tell_undecided
from groundup.train.job import Job
from groundup.train.job_checks import check_extra
from groundup.train.listener import Listener, Screen
from groundup.train.loop import Trainer
from groundup.train.progress import Progress
from groundup.train.recorder import Keeper, computing, new_manifest, with_plan
from groundup.train.restore import last_state, progress_at, restore
from groundup.train.resume import Identity, check_new, compatible, tell_inexact
from groundup.train.shortage import explained
from groundup.train.step_threads import StepThreads


@dataclass(frozen=True)
class TrainRun:
    """How a run ended: finished now, finished already, or stopped by a signal."""

    folder: RunFolder
    progress: Progress
    signal: int | None = None
    was_finished: bool = False


Outcome = TrainRun
"""Its earlier name."""


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
        if ranks is None:
            ranks = held.enter_context(joined(job.settings.timeout, screen.notice))
        screen = Screen() if ranks.rank else screen
        decide = partial(_decide, job, keeper, screen, started, ranks.size, held)
        tables, saved = ranks.broadcast(decide)
        manifest, checkpoint = Manifest.of(tables), keeper.checkpoint(saved)
        job.take_over(manifest)
        choices, progress = _choices(manifest, job, ranks.size), progress_at(checkpoint)
        was_finished = progress.finished and progress.step >= choices.config.steps
        held.enter_context(choices.in_force())
        if not was_finished:
            if ranks.rank:
                job.prepare(screen)  # as the first process has done
            plan = job.plan(choices.config)
            check_fits(plan)
            manifest = with_plan(manifest, plan)
            give_back()  # what choosing, preparing and learning a tokenizer took
            told = [] if ranks.rank else [keeper, screen, *listeners]
            if time.perf_counter() - started > 60 * (choices.config.minutes or math.inf):
                started = time.perf_counter()  # preparing took it all, as the screen has said
            trainer = _trainer(job, keeper, manifest, choices, saved, ranks, told, started)
            if ranks.rank == 0:
                keeper.begin(manifest, job, checkpoint)
            screen.planned(plan, choices, keeper.folder)
            if checkpoint is not None:
                tell_inexact(manifest.as_table(), computing(choices), screen.notice)
                restore(trainer, checkpoint)
                screen.resumed(trainer.progress)
                tell_undecided(trainer.clock.decisions.taken, trainer.progress, screen.notice)
            requests.patient = True
            with explained(plan, choices.device):
                progress = trainer.fit(requests)
            requests.patient = False
            # What judges the run does so with the model that it has become: none holds this one.
            ended = progress.step, trainer.clock.step_seconds
            trainer.world.watch(lambda: ended)
            del trainer
        is_told = keeper.folder.report.exists() and job.is_judged(keeper.folder)
        if ranks.rank == 0 and not (was_finished and is_told):
            if progress.finished:
                job.finish(keeper.folder, screen)
            # The lock is still held, so that the files alone would tell of a running trainer.
            keeper.report(progress.finished)
    stop = None if was_finished else requests.stop
    return TrainRun(keeper.folder, progress, stop, was_finished)


def _decide(
    job: Job[Any],
    keeper: Keeper,
    screen: Screen,
    started: float,
    n_processes: int,
    held: contextlib.ExitStack,
) -> tuple[dict[str, Any], int | None]:
    """Return what all processes must know: run.toml's tables, and the step to go on from.

    From here on the run's lock is held.
    """
    settings = _possible(keeper.decided(), screen) or job.settings
    how = job.rate_share, job.own_process, n_processes, job.needs
    choices = choose(settings, job.widest, *how)
    if settings.minutes is not None:
        screen.allowed(60 * settings.minutes - (time.perf_counter() - started))
    check_fits(job.plan(choices.config))  # before the data is read
    job.prepare(screen)
    identity = _identity(job)
    held.enter_context(keeper.locked())
    if keeper.folder.exists():
        manifest = compatible(keeper.folder, identity, job.extend, screen.notice)
        if job.is_named:
            manifest = sealed_if_same(manifest, identity.request, job.data_table())
    else:
        check_new(keeper.folder, job.extend)
        with choices.in_force():  # as it is when the run goes on
            decided = job.decide(choices, screen)
        manifest = new_manifest(job, choices, identity.request, decided)
    return manifest.as_table(), keeper.newest(screen.notice)


def _possible(decided: TrainConfig | None, screen: Screen) -> TrainConfig | None:
    """Return what a run has decided, as far as it can be done on this CPU."""
    if decided is None or decided.products != ONEDNN or onednn_is_exact():
        return decided
    screen.notice("products: oneDNN rounds factors to bf16 on this CPU; goes on with default")
    return replace(decided, products=DEFAULT)


def _identity(job: Job[Any]) -> Identity:
    """Return what makes two requests the same run: what the job says, on the same base."""
    identity = replace(job.identity(), kind=job.kind)
    if job.base is None:
        return identity
    base = {"run": job.base.run, "weights": job.base.sha256}
    origin = {**identity.request.get("from", {}), **base}
    return replace(identity, request={**identity.request, "from": origin})


def _choices(manifest: Manifest, job: Job[Any], n_processes: int) -> Choices:
    """Return the choices that run.toml tells of."""
    settings = build(TrainConfig, manifest.train or {})
    own_process = job.own_process or settings.allocator in ("keep", "release")
    reasons = (manifest.choices or {}).get("reasons", {})
    return Choices(settings, reasons, own_process, n_processes)


def _trainer(
    job: Job[Any],
    keeper: Keeper,
    manifest: Manifest,
    choices: Choices,
    saved: int | None,
    ranks: Alone,
    listeners: list[Listener],
    started: float,
) -> Trainer:
    """Return what trains the job's model: as it is at step 0, or about to be restored."""
    world = arranged(ranks, choices.config, choices.device)
    plan = manifest.plan or PlanTable()
    model = job.model(choices.config.seed) if saved is None else job.skeleton()
    step = job.step(model.to(choices.device), choices)
    check_extra(job, step)
    trainer = Trainer(
        step=step,
        batches=job.source(choices.config),
        choices=choices,
        evaluate=partial(job.evaluate, step, choices, world),
        sample=partial(job.sample, step, choices, world),
        listeners=listeners,
        last_checkpoint=partial(last_state, keeper, step, world),
        world=world,
        started=started,
        timed=plan.seconds_per_step is not None,
        n_val_tokens=job.n_val_tokens,
        threads=StepThreads(choices.config.threads) if choices.may_change_threads else None,
        decisions=recorded(manifest, keeper.folder.manifest),
        flops_per_token=plan.flops_per_token or 0.0,
        peak_flops=keeper.peak_flops(choices) if plan.flops_per_token else None,
    )
    world.watch(lambda: (trainer.progress.step, trainer.clock.step_seconds))
    return trainer
