"""A training run: from the user's request to the finished folder, or on from where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from groundup import __version__
from groundup.base.errors import UsageError
from groundup.base.files import make_folder
from groundup.config import GPTConfig, TrainConfig, as_table, build
from groundup.data import PreparedData, prepare
from groundup.device.machine import machine
from groundup.device.rates import matmul_rate
from groundup.plan import Plan, check_fits, make_plan
from groundup.runs import RunFolder, flatten, run_lock
from groundup.runs.checkpoint import newest_intact, remove_unfinished
from groundup.runs.load import fill
from groundup.runs.report import write_report
from groundup.train.assemble import assemble
from groundup.train.choices import AUTOMATIC, Choices, choose
from groundup.train.loop import Listener, Progress
from groundup.train.recorder import Recorder
from groundup.train.signals import StopRequest
from groundup.train.start import Start, new_model, new_start, start_from

DEFAULT_CORPUS = "shakespeare"
DEFAULT_PRESET = "nano"


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What the user asked for, before anything was decided."""

    sources: tuple[str, ...] = (DEFAULT_CORPUS,)
    preset: str = DEFAULT_PRESET
    base: Path | None = None
    model_changes: dict[str, Any] = field(default_factory=dict)
    train: TrainConfig = field(default_factory=TrainConfig)
    tokenizer: str = "bpe"
    text_options: dict[str, Any] = field(default_factory=dict)
    run: str | None = None
    extend: int | None = None
    command: str = ""
    own_process: bool = False
    """Whether nothing else runs in this process, so that its allocator may be set."""
    runs_folder: Path = Path("runs")
    data_folder: Path = Path("data")

    def name(self) -> str:
        """Return the run's name: as given, else made of the text and the preset or the base."""
        if self.run:
            return self.run
        stems = [Path(source).name.partition(".")[0] for source in self.sources]
        text = "-".join(stem if stem.strip("-*") else "text" for stem in stems[:2])
        model = self.base.resolve().name if self.base else self.preset
        return re.sub(r"[^\w.-]+", "_", f"{text}-{model}")

    def start(self, own: RunFolder) -> Start:
        """Return what the run in the folder `own` starts from."""
        if self.base is not None:
            return start_from(self.base, self.model_changes, own)
        return new_start(self.preset, self.model_changes, self.tokenizer)


class Screen(Listener, Protocol):
    """A listener that is also shown the run before it begins and while its text is prepared."""

    def preparing(self, stage: str, done: int, total: int) -> None:
        """Receive how many bytes of a stage of preparation are done."""

    def prepared(self, data: PreparedData) -> None:
        """Receive what training will read."""

    def planned(self, plan: Plan, choices: Choices, folder: RunFolder) -> None:
        """Receive what is about to be trained, and where it is written."""

    def notice(self, text: str) -> None:
        """Receive one line the user should know."""

    def resumed(self, progress: Progress) -> None:
        """Receive how far the run had come."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: finished now, finished already, or stopped by a signal."""

    folder: RunFolder
    progress: Progress
    signal: int | None = None
    was_finished: bool = False


def train_run(request: TrainRequest, screen: Screen, started: float | None = None) -> Outcome:
    """Train as requested, or go on where the same request stopped; return how it ended.

    Raises `UsageError` when the folder holds a run of other settings, `RunError` when it is in use
    or damaged, and whatever the text, the machine or the disk give reason to.
    """
    started = time.perf_counter() if started is None else started
    folder = RunFolder(request.runs_folder / request.name())
    start = request.start(folder)
    config = start.config
    choices = choose(_settings(folder, request), config, start.rate_share, request.own_process)
    check_fits(make_plan(config, choices.config))  # before the text is read
    data = prepare(
        list(request.sources),
        start.tokenizer,
        config.vocab_size,
        request.data_folder,
        progress=screen.preparing,
        **request.text_options,
    )
    screen.prepared(data)
    if request.base is None:
        config = config.replace(vocab_size=data.tokenizer.vocab_size)
    make_folder(request.runs_folder)
    with _locked(folder):
        asked = {**_asked(request, config, data), **start.identity}
        if folder.exists():
            tables = _compatible(folder, asked, request)
            choices = dataclasses.replace(choices, config=build(TrainConfig, tables["train"]))
        else:
            tables = _new_tables(request, asked, config, choices, data)
        with choices.in_force():
            outcome = _train(folder, tables, choices, data, start, screen, started)
    if not outcome.was_finished:
        write_report(folder.path)
    return outcome


def _train(
    folder: RunFolder,
    tables: dict[str, Any],
    choices: Choices,
    data: PreparedData,
    start: Start,
    screen: Screen,
    started: float,
) -> Outcome:
    config, settings = build(GPTConfig, tables["model"]), choices.config
    remove_unfinished(folder.checkpoints)
    checkpoint, damaged = newest_intact(folder.checkpoints)
    for line in damaged:
        screen.notice(f"{line}; going on from the newest intact checkpoint")
    progress = Progress(**checkpoint.state()) if checkpoint else Progress()
    if progress.finished and progress.step >= settings.steps:
        return Outcome(folder, progress, was_finished=True)
    progress.finished = False
    plan = make_plan(config, settings, train_tokens=data.manifest["splits"]["train"]["tokens"])
    check_fits(plan)
    tables["plan"] = {**_plan_table(plan), **tables.get("plan", {})}
    recorder = Recorder(folder, tables)
    trainer = assemble(
        start.model(config, settings.seed) if checkpoint is None else new_model(config, 0),
        data.tokenizer,
        data.tokens("train"),
        data.tokens("val"),
        choices,
        [recorder, screen],
        started,
    )
    folder.write(tables)
    data.tokenizer.save(folder.tokenizer)
    folder.write_manners(start.chat_template, start.generation)
    recorder.resume_from(checkpoint)
    screen.planned(plan, choices, folder)
    trainer.timed = "seconds_per_step" in tables["plan"]
    trainer.flops_per_token = plan.flops_per_token
    trainer.peak_flops = matmul_rate(choices.device, choices.matmul_dtype)
    if checkpoint:
        fill(trainer.model, checkpoint.model_tensors(), checkpoint.path)
        trainer.restore(progress, checkpoint.trainer_tensors())
        screen.resumed(progress)
    with StopRequest() as stop:
        progress = trainer.fit(stop)
    return Outcome(folder, progress, signal=stop.signal)


@contextlib.contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Hold the run's lock; leave no folder behind where no run came of it."""
    with run_lock(folder.lock):
        try:
            yield
        finally:
            if not folder.exists():
                with contextlib.suppress(OSError):
                    folder.lock.unlink(missing_ok=True)
                    folder.path.rmdir()


def _settings(folder: RunFolder, request: TrainRequest) -> TrainConfig:
    """Return the settings as asked, or as decided when the run in the folder began."""
    if folder.exists() and "request" in (tables := folder.read()):
        return build(TrainConfig, tables["train"])
    return request.train


def _asked(request: TrainRequest, config: GPTConfig, data: PreparedData) -> dict[str, Any]:
    """Return what must be the same for a run to go on: every setting, and the text itself."""
    return {
        "model": as_table(config),
        "train": as_table(request.train),
        "data": {"fingerprint": data.fingerprint},
    }


def _new_tables(
    request: TrainRequest,
    asked: dict[str, Any],
    config: GPTConfig,
    choices: Choices,
    data: PreparedData,
) -> dict[str, Any]:
    device = choices.device
    return {
        "model": as_table(config),
        "train": as_table(choices.config),
        "data": {
            "sources": list(request.sources),
            "fingerprint": data.fingerprint,
            "folder": str(data.folder),
            "tokenizer": data.tokenizer.kind,
            "tokenizer_fingerprint": data.tokenizer.fingerprint,
            "vocab_size": data.tokenizer.vocab_size,
            "split_rule": data.split_rule,
            **{
                f"{name}_{unit}": data.manifest["splits"][name][unit]
                for name in ("train", "val")
                for unit in ("tokens", "bytes", "documents")
            },
        },
        "choices": {
            **{name: getattr(choices.config, name) for name in AUTOMATIC},
            "reasons": choices.reasons,
        },
        "request": {
            "command": request.command,
            **({} if request.base else {"preset": request.preset}),
            **asked,
        },
        "versions": {
            "python": platform.python_version(),
            "groundup": __version__,
            **{name: version(name) for name in ("torch", "numpy", "tokenizers", "tiktoken")},
        },
        "machine": machine(device),
    }


def _plan_table(plan: Plan) -> dict[str, Any]:
    return {
        "parameters": plan.parameters,
        "flops_per_token": plan.flops_per_token,
        "memory_mib": {name: round(size / 2**20, 1) for name, size in plan.memory.items()},
    }


def _compatible(folder: RunFolder, asked: dict[str, Any], request: TrainRequest) -> dict[str, Any]:
    """Return run.toml's tables if they are of this request; tell every difference if not."""
    tables = folder.read()
    if "quantization" in tables:
        raise UsageError(f"{folder.path} holds a quantised model; choose another --run name")
    if "request" not in tables:
        raise UsageError(
            f"{folder.path} is an imported model, not a run; choose another --run name, and train "
            f"on from it with --from {folder.path}"
        )
    before, now = flatten(tables["request"]), flatten(asked)
    # How it was asked for may differ; of a base, its weights count.
    for key in ("command", "preset", "from.run", "from.name", "from.licence"):
        before.pop(key, None)
        now.pop(key, None)
    if request.extend is not None:
        _extend(folder, tables, request.extend)
        for key in ("train.steps", "train.minutes"):
            before.pop(key, None)
            now.pop(key, None)
    # A run of an older version has the settings that came later at their defaults.
    defaults = flatten({"train": as_table(TrainConfig())})
    before = {key: value for key, value in defaults.items() if key in now} | before
    different = [
        f"{key.partition('.')[2]} was {before.get(key, 'not set')}, now {now.get(key, 'not set')}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if different:
        raise UsageError(
            f"{folder.path} holds a run with other settings ({'; '.join(different)}); repeat its "
            "own command to go on with it, choose another --run NAME, or lengthen it with "
            "--extend STEPS"
        )
    return tables


def _extend(folder: RunFolder, tables: dict[str, Any], steps: int) -> None:
    if steps < tables["train"]["steps"]:
        raise UsageError(
            f"--extend {steps}: {folder.path} already trains to step {tables['train']['steps']}; "
            "give a larger number of steps"
        )
    for settings in (tables["train"], tables["request"]["train"]):
        settings["steps"] = steps
        settings.pop("minutes", None)
    tables.get("plan", {}).pop("expected_seconds", None)
