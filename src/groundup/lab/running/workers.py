"""The processes that measure, one a core, for as long as an experiment takes."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

from groundup.base.children import safe_environment, start_python
from groundup.base.errors import GroundupError, shown
from groundup.base.hardware import available_memory, usable_cores
from groundup.lab.experiment import Values
from groundup.lab.running.tasks import Task, Work
from groundup.lab.running.values import restored
from groundup.lab.running.worker import answer, one_thread

MEMORY_EACH = 1 << 30
"""Bytes that a process may come to need: torch, a text and a small training."""
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
KILLED = getattr(signal, "SIGKILL", 9)  # Windows has none
ENDING_SECONDS = 10


class Ask(NamedTuple):
    """A task, and for a timing the steps in place of its own."""

    task: Task
    steps: int | None = None


class Answer(NamedTuple):
    """What a task measured, and the seconds that it took; or what went wrong."""

    ask: Ask
    values: Values
    seconds: float
    error: GroundupError | None = None


class WorkerTracebackError(Exception):
    """Where a measurement failed, as the process that measured tells it."""


def default_processes() -> int:
    """Return one process a core, as far as the memory that is free serves them."""
    memory = available_memory()
    room = usable_cores() if memory is None else memory // MEMORY_EACH
    return max(1, min(usable_cores(), room))


_ALONE = threading.Lock()
"""Held while a cell is measured in this process: cells draw from one source of random numbers."""


@contextlib.contextmanager
def _as_a_worker() -> Iterator[None]:
    """Compute as a process that measures does, and then as before."""
    import torch

    threads = torch.get_num_threads()
    one_thread()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


class InThisProcess:
    """Measures one cell after another here, for an experiment that no other process can find."""

    size = 1

    def measure(self, work: Work, asks: Iterable[Ask]) -> Iterator[Answer]:
        """Yield the answers, in the order asked."""
        for ask in asks:
            with _ALONE, _as_a_worker():
                told = answer(work, index=ask.task.index, key=ask.task.key, steps=ask.steps)
            yield _answer(ask, told)

    def close(self) -> None:
        """Have nothing to end."""


class Workers:
    """Processes that live until they are closed; they are started when there is work."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._workers: list[_Worker] = []
        self._answers: queue.Queue[tuple[_Worker, bytes]] = queue.Queue()

    def measure(self, work: Work, asks: Iterable[Ask]) -> Iterator[Answer]:
        """Yield the answers as they come; they are asked in their order."""
        waiting = deque(asks)
        while len(self._workers) < min(self.size, len(waiting)):
            self._workers.append(_Worker(self._answers))
        for worker in self._workers:
            worker.prepare(work)
            worker.give(waiting)
        while any(worker.ask for worker in self._workers):
            worker, line = self._answers.get()
            ask = worker.ask
            if not line or ask is None:
                raise worker.ended()
            worker.give(waiting)
            yield _answer(ask, json.loads(line))

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()


def _answer(ask: Ask, told: dict[str, Any]) -> Answer:
    if "error" not in told:
        return Answer(ask, restored(told["values"]), told["seconds"])
    error = GroundupError(f"{ask.task.cell}: {told['error']}")
    error.exit_status = told["status"]
    error.__cause__ = WorkerTracebackError(f"\n{told['traceback']}")
    return Answer(ask, {}, 0.0, error)


class _Worker:
    """One process, and what it is at."""

    def __init__(self, answers: queue.Queue[tuple[_Worker, bytes]]) -> None:
        self.ask: Ask | None = None
        self._scale: float | None = None
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (until it ends)
        self._process = start_python(
            "-m",
            "groundup.lab.running.worker",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**safe_environment(), **THREADS},
        )
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    def _listen(self, answers: queue.Queue[tuple[_Worker, bytes]]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith(b"\n"):  # else it was killed while it answered
                answers.put((self, line))
        answers.put((self, b""))

    def prepare(self, work: Work) -> None:
        """Tell what is measured, where that is new."""
        if self._scale != work.scale:
            self._scale = work.scale
            self._tell(
                reference=work.source.reference,
                scale=work.scale,
                text=work.text.name,
                fingerprint=work.text.fingerprint,
            )

    def give(self, waiting: deque[Ask]) -> None:
        """Give the next task, if there is one."""
        self.ask = waiting.popleft() if waiting else None
        if self.ask is not None:
            task = self.ask.task
            self._tell(index=task.index, key=task.key, steps=self.ask.steps)

    def _tell(self, **words: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, as its answer will tell
            self._process.stdin.write(json.dumps(words).encode() + b"\n")
            self._process.stdin.flush()

    def ended(self) -> GroundupError:
        """Return the error that a process has ended by itself."""
        status = self._process.wait(ENDING_SECONDS)
        who = "a process that measures"
        if self.ask is not None:
            who = f"{self.ask.task.cell}: the process that measured it"
        again = "then run the same command again: finished cells are kept"
        if status == -KILLED:
            return GroundupError(
                f"{who} was killed, as the system does where memory "
                f"runs out; close other programs or give fewer --processes, {again}"
            )
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return GroundupError(f"{who} ended {how} ({shown(last, 200)}); {again}")

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._said):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
