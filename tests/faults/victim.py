"""`groundup`, with something that goes wrong in it: what and where, the variable SABOTAGE says.

It is JSON: `kind`, and where needed `rank`, `step`, `phase`, `save`, `number`, `milliseconds`,
`seconds` or `size`. The training itself is the genuine one, in a process of its own.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SABOTAGE: dict[str, Any] = json.loads(os.environ.get("SABOTAGE", "{}"))
RANK = int(os.environ.get("RANK", "0"))
PAUSE = 1.0
"""Seconds that a phase lasts at least, so that a signal meets it."""


def concerned(**where: Any) -> bool:
    """Tell whether this process and moment are meant."""
    own = {"rank": RANK, **where}
    return all(SABOTAGE.get(key) in (None, value) for key, value in own.items())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pause(phase: str) -> None:
    """Leave a mark, and give the tester time to send a signal."""
    if SABOTAGE["kind"] == "phase" and SABOTAGE["phase"] == phase and concerned():
        mark = Path(f"phase-{RANK}")
        if not mark.exists():
            mark.write_text(phase)
            end = time.monotonic() + SABOTAGE.get("seconds", PAUSE)
            while time.monotonic() < end:  # in slices, as a signal's handler ends a sleep or not
                time.sleep(0.01)


def around(owner: Any, name: str, before: Callable[..., None]) -> None:
    """Call `before` with the arguments of each call of `owner.name`."""
    genuine = getattr(owner, name)

    def call(*given: Any, **named: Any) -> Any:
        before(*given, **named)
        return genuine(*given, **named)

    setattr(owner, name, call)


def around_after(owner: Any, name: str, after: Callable[[], None]) -> None:
    """Call `after` when a call of `owner.name` has returned."""
    genuine = getattr(owner, name)

    def call(*given: Any, **named: Any) -> Any:
        result = genuine(*given, **named)
        after()
        return result

    setattr(owner, name, call)


def log_samples() -> None:
    """Append which samples each pass reads, and at which step."""
    from groundup.data import Batches

    path = Path(f"samples-{os.environ.get('WORLD_SIZE', '1')}-{RANK}.jsonl")

    def note(batches: Batches, first: int, n: int) -> None:
        with path.open("a") as file:
            file.write(json.dumps([first, n]) + "\n")

    around(Batches, "samples", note)


def spoil_step() -> None:
    """At a step, make the loss no number, raise an error, or stop this process."""
    from groundup.optim.step import TrainStep

    genuine, passes = TrainStep.forward, [0]

    def forward(self: TrainStep, **given: Any) -> Any:
        passes[0] += 1
        loss_sum, n_targets = genuine(self, **given)
        if not concerned(step=passes[0]):
            return loss_sum, n_targets
        if SABOTAGE["kind"] == "raise":
            raise ValueError("something nobody foresaw")
        if SABOTAGE["kind"] in ("SIGKILL", "SIGSTOP"):
            os.kill(os.getpid(), getattr(signal, SABOTAGE["kind"]))
        return loss_sum * (math.nan if SABOTAGE["kind"] == "nonfinite" else 1.0), n_targets

    TrainStep.forward = forward  # type: ignore[method-assign, assignment]


def spoil_saving() -> None:
    """In the n-th save, die at the n-th operation on files, or find the disk full."""
    import groundup.runs.checkpoint as checkpoint

    genuine, saves, operations = checkpoint.save_files, [0], [0]
    inside = [False]
    watched = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if inside[0] and event in watched:
            operations[0] += 1
            if operations[0] == SABOTAGE.get("number"):
                die()

    def save(*given: Any, **named: Any) -> Any:
        saves[0] += 1
        meant = concerned() and saves[0] == SABOTAGE["save"]
        if meant and SABOTAGE["kind"] == "disk-full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (SABOTAGE["size"], resource.RLIM_INFINITY))
        inside[0] = meant and SABOTAGE["kind"] == "kill-in-save"
        if inside[0] and "milliseconds" in SABOTAGE:
            timer = threading.Timer(SABOTAGE["milliseconds"] / 1000, die)
            timer.daemon = True
            timer.start()
        try:
            return genuine(*given, **named)
        finally:
            inside[0] = False
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    checkpoint.save_files = save
    if SABOTAGE["kind"] == "kill-in-save":
        sys.addaudithook(hook)


def decide_as_recorded() -> None:
    """Let a training that has so many minutes decide what another has, whatever the clock says."""
    from groundup.train.clock import Clock
    from groundup.train.decisions import Decision, Decisions

    genuine = Clock.__init__
    taken = [Decision(**table) for table in SABOTAGE["decisions"]]

    def init(self: Clock, config: Any, *given: Any) -> None:
        genuine(self, config, *given)
        self.timed, self.decisions = True, Decisions(config, taken)

    Clock.__init__ = init  # type: ignore[method-assign, assignment]
    Clock.decide_anew = lambda self, step: False  # type: ignore[method-assign]


def mark_phases() -> None:
    """Make each phase last long enough to be met by a signal."""
    from groundup.optim.step import TrainStep

    names = ("runs.checkpoint", "train.pretraining", "train.job", "train.validate")
    checkpoint, pretraining, job, validate = (
        importlib.import_module(f"groundup.{name}") for name in names
    )
    around(pretraining, "prepare", lambda *given, **named: pause("data preparation"))
    around(job, "make_plan", lambda *given, **named: pause("planning"))
    around(checkpoint, "write_tensors", lambda *given: pause("saving"))
    passes = [0]

    def forward(self: TrainStep, **given: Any) -> None:
        passes[0] += 1
        if passes[0] == 1:
            pause("warm-up")
        if passes[0] == 8:
            pause("mid-accumulation")

    around(TrainStep, "forward", forward)
    evaluate_loss, stream = validate.evaluate_loss, validate.stream

    def evaluate(*given: Any, **named: Any) -> Any:
        told = named["progress"]

        def progress(*done: int) -> None:
            pause("evaluation")
            told(*done)

        return evaluate_loss(*given, **named | {"progress": progress})

    def written(*given: Any, **named: Any) -> Any:
        for piece in stream(*given, **named):
            pause("sampling")
            yield piece

    vars(validate).update(evaluate_loss=evaluate, stream=written)


def main() -> None:
    kind = SABOTAGE.get("kind")
    if kind in ("nonfinite", "raise", "SIGKILL", "SIGSTOP"):
        spoil_step()
    if kind in ("kill-in-save", "disk-full"):
        spoil_saving()
    if kind == "decisions":
        decide_as_recorded()
    if kind == "phase":
        mark_phases()
    if kind == "samples":
        log_samples()
    from groundup.cli import app
    from groundup.cli import main as groundup

    if kind == "phase":
        around_after(app, "block_saves", lambda: pause("start-up"))
    groundup()


if __name__ == "__main__":
    main()
