"""A training run: from the user's request to the finished folder, or on from where it stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from groundup.base.files import make_folder
from groundup.base.signals import Requests
from groundup.config import GPTConfig, TrainConfig, as_table, build
from groundup.data import PreparedData, open_prepared, prepare
from groundup.plan import check_fits, make_plan
from groundup.processes.alone import ALONE, Alone, Exact
from groundup.processes.launch import place
from groundup.report import write_report
from groundup.runs import RunFolder
from groundup.runs.checkpoint import Checkpoint, newest_intact
from groundup.runs.generation import ending
from groundup.runs.manifest import Manifest
from groundup.train.assemble import assemble
from groundup.train.choices import Choices, choose
from groundup.train.epochs import steps_of
from groundup.train.folder import (
    checked_plan,
    current_tables,
    expected,
    locked,
    newest_checkpoint,
    progress_at,
    run_tables,
    state_at,
)
from groundup.train.guard import State
from groundup.train.progress import Progress
from groundup.train.recorder import Recorder
from groundup.train.request import Screen, TrainRequest
from groundup.train.resume import compatible, tell_inexact
from groundup.train.shortage import explained
from groundup.train.start import new_model


@dataclass(frozen=True)
class Outcome:
    """How a run ended: finished now, finished already, or stopped by a signal."""

    folder: RunFolder
    progress: Progress
    signal: int | None = None
    was_finished: bool = False


def train_run(
    request: TrainRequest,
    screen: Screen,
    started: float | None = None,
    requests: Requests | None = None,
) -> Outcome:
    """Train as requested, or go on where the same request stopped; return how it ended.

    `requests` are what signals have asked for since the process began, where somebody listened. A
    process that a launcher started as one of several trains together with the others.

    Raises `UsageError` when the folder holds a run of other settings, `RunError` when it is in use
    or damaged, and whatever the text, the machine or the disk give reason to.
    """
    started = time.perf_counter() if started is None else started
    if requests is None:
        with Requests() as requests:
            return train_run(request, screen, started, requests)
    with _joined(request.train.timeout, screen.notice) as ranks, contextlib.ExitStack() as held:
        if ranks.rank:
            screen = Screen()
        run = _Run(request, screen, started, requests, ranks)
        decided = ranks.broadcast(lambda: run.decide(held))
        outcome = run.train(**decided)
        complete = outcome.was_finished and outcome.folder.report.exists()
        if ranks.rank == 0 and not complete:
            # The lock is still held, so that the files alone would tell of a running trainer.
            write_report(outcome.folder.path, None if outcome.progress.finished else "interrupted")
    return outcome


@contextlib.contextmanager
def _joined(timeout: float, notice: Callable[[str], None]) -> Iterator[Alone]:
    """Yield what this process is among others, if there are any."""
    if (own := place()) is None:
        yield ALONE
        return
    from groundup.processes.distributed import joined  # a second of imports

    with joined(own, timeout, notice) as ranks:
        yield ranks


class _Run:
    """A run on its way from the request to the training."""

    def __init__(
        self,
        request: TrainRequest,
        screen: Screen,
        started: float,
        requests: Requests,
        ranks: Alone,
    ) -> None:
        self.request = request
        self.screen = screen
        self.started = started
        self.requests = requests
        self.ranks = ranks
        self.folder = request.folder
        self.start = request.start(self.folder)

    def decide(self, held: contextlib.ExitStack) -> dict[str, Any]:
        """Decide, in one process, all that the others must know; hold the run's lock."""
        request, folder, config = self.request, self.folder, self.start.config
        settings, share = _settings(folder, request), self.start.rate_share
        choices = choose(settings, config, share, request.own_process, self.ranks.size)
        check_fits(make_plan(config, choices.config))  # before the text is read
        data = self.data
        self.screen.prepared(data)
        asked = request.asked(config)
        if request.base is None:
            config = config.replace(vocab_size=data.tokenizer.vocab_size)
            asked["model"] = as_table(config)
        read = ending({"fingerprint": data.fingerprint}, data.tokenizer.given_end)
        asked |= {"data": read, **self.start.identity}
        make_folder(request.runs_folder)
        held.enter_context(locked(folder))
        if folder.exists():
            tables = compatible(folder, asked, request.extend, self.screen.notice)
        else:
            request.check_new()
            choices = _with_epochs(choices, data, config)
            tables = _new_tables(request, asked, config, choices, data)
        checkpoint = newest_checkpoint(folder, self.screen.notice)
        return {"tables": tables, "saved": checkpoint.step if checkpoint else None}

    @cached_property
    def data(self) -> PreparedData:
        """The text as tokens; who comes first prepares it, the others wait for that."""
        if self.request.prepared is not None:
            return open_prepared(self.request.prepared)
        return prepare(
            list(self.request.sources),
            self.start.tokenizer,
            self.start.config.vocab_size,
            self.request.data_folder,
            progress=self.screen.preparing,
            **{**self.start.text_options, **self.request.text_options},
        )

    def train(self, tables: dict[str, Any], saved: int | None) -> Outcome:
        """Train from step `saved` on, or from the start, to the end or to a signal."""
        settings = build(TrainConfig, tables["train"])
        progress = Progress() if saved is None else progress_at(self._checkpoint(saved))
        if progress.finished and progress.step >= settings.steps:
            return Outcome(self.folder, progress, was_finished=True)
        progress.finished = False
        reasons = tables.get("choices", {}).get("reasons", {})
        own_process = self.request.own_process or settings.allocator in ("keep", "release")
        choices = Choices(settings, reasons, own_process, self.ranks.size)
        with choices.in_force(), arranged(self.ranks, choices) as world:
            return self._train(tables, choices, progress, saved, world)

    def _train(
        self,
        tables: dict[str, Any],
        choices: Choices,
        progress: Progress,
        saved: int | None,
        world: Alone,
    ) -> Outcome:
        config, settings = build(GPTConfig, tables["model"]), choices.config
        data, folder, screen = self.data, self.folder, self.screen
        n_tokens = data.manifest["splits"]["train"]["tokens"]
        plan = checked_plan(config, settings, n_tokens, tables)
        recorder = Recorder(folder, tables)
        trainer = assemble(
            self.start.model(config, settings.seed) if saved is None else new_model(config, 0),
            data.tokenizer,
            data.tokens("train", verify=world.rank == 0),
            data.tokens("val", verify=world.rank == 0),
            choices,
            [recorder, screen] if world.rank == 0 else [screen],
            self.started,
            world,
            last_checkpoint=partial(self._last_checkpoint, recorder, config),
            **expected(choices, plan, tables),
        )
        if world.rank == 0:
            folder.write(Manifest.of(tables))
            data.tokenizer.save(folder.tokenizer)
            generation = ending(self.start.generation, data.tokenizer.given_end)
            folder.write_chat_settings(self.start.chat_template, generation)
            recorder.resume_from(None if saved is None else self._checkpoint(saved))
            folder.report.unlink(missing_ok=True)  # it tells of less, and would outlive a kill
        screen.planned(plan, choices, folder)
        if saved is not None:
            tell_inexact(tables, current_tables(choices), screen.notice)
            _, *tensors = state_at(self._checkpoint(saved), config)
            trainer.restore(progress, *tensors)
            screen.resumed(progress)
        self.requests.patient = True
        world.watch(trainer)
        with explained(plan, choices.device):
            progress = trainer.fit(self.requests)
        self.requests.patient = False
        return Outcome(folder, progress, signal=self.requests.stop)

    def _last_checkpoint(self, recorder: Recorder, config: GPTConfig) -> State | None:
        """Return the last checkpoint, if any, after which everything written is forgotten."""

        def newest() -> int | None:
            checkpoint, _ = newest_intact(self.folder.checkpoints)
            if checkpoint:
                recorder.resume_from(checkpoint)
            return checkpoint.step if checkpoint else None

        saved: int | None = self.ranks.broadcast(newest)
        return None if saved is None else state_at(self._checkpoint(saved), config)

    def _checkpoint(self, saved: int) -> Checkpoint:
        return Checkpoint.at(self.folder.checkpoints, saved)


@contextlib.contextmanager
def arranged(ranks: Alone, choices: Choices) -> Iterator[Alone]:
    """Yield the processes, or the only one, working together as the settings say."""
    config = choices.config
    if ranks.size == 1:
        yield Exact() if config.exact == "on" else ALONE
        return
    from groundup.processes.distributed import arrange

    yield arrange(ranks, config, choices.device)


def _settings(folder: RunFolder, request: TrainRequest) -> TrainConfig:
    """Return the settings as asked, or as decided when the run in the folder began."""
    if folder.exists() and (manifest := folder.read()).request:
        return folder.train_config(manifest)
    return request.train


def _with_epochs(choices: Choices, data: PreparedData, config: GPTConfig) -> Choices:
    """Turn a number of passes into steps, now that the length of the text is known."""
    settings = choices.config
    if settings.epochs is None:
        return choices
    per_step = settings.sequences_per_step * config.context_length
    steps = steps_of(settings.epochs, data.manifest["splits"]["train"]["tokens"], per_step)
    return replace(choices, config=replace(settings, steps=steps))


def _new_tables(
    request: TrainRequest,
    asked: dict[str, Any],
    config: GPTConfig,
    choices: Choices,
    data: PreparedData,
) -> dict[str, Any]:
    splits = data.manifest["splits"]
    units = ("tokens", "bytes", "documents")
    return run_tables(
        config,
        choices,
        data={
            "sources": list(request.sources),
            "fingerprint": data.fingerprint,
            "folder": str(data.folder),
            "tokenizer": data.tokenizer.kind,
            "tokenizer_fingerprint": data.tokenizer.fingerprint,
            "vocab_size": data.tokenizer.vocab_size,
            "split_rule": data.split_rule,
            **{f"{name}_{unit}": splits[name][unit] for name in ("train", "val") for unit in units},
        },
        request={"command": request.command, **asked},
    )
