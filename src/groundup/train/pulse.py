"""Signs of life between the processes of a training: nobody waits for the dead, or in silence."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, Protocol

from groundup.base.errors import RunError
from groundup.train.world import Training

BEAT = 0.5
"""Seconds between the signs of life that each process gives."""
SILENCE = 2.5
"""Seconds without one after which a process counts as lost."""
GRACE, LONGEST = 5.0, 15.0
"""Seconds in which all must have agreed to stop after a signal, beside a step that is under way;
launchers kill after 30."""
ANSWER = 3.0
"""Seconds that the store may take to answer."""


class RankLost(RunError):  # noqa: N818 - "rank 1 lost" is what the message says
    """Another process of the same training that is no longer there, or has failed."""

    exit_status = 5
    leaves_at_once = True


class Store(Protocol):
    """What the processes can all read and write: `torch.distributed`'s store."""

    def set(self, key: str, value: str) -> None:
        """Write."""

    def get(self, key: str) -> bytes:
        """Read; waits for a key that is not there."""

    def check(self, keys: Sequence[str]) -> bool:
        """Tell whether keys are there."""

    def clone(self) -> Store:
        """Return another way to the same store."""

    def set_timeout(self, timeout: timedelta) -> None:
        """Bound the time that a call waits."""


class Pulse:
    """Signs of life by which each process tells the others that it is there, and how far it is."""

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store = store.clone()  # which nobody else waits for
        self.store.set_timeout(timedelta(seconds=ANSWER))
        self.rank, self.size = rank, size
        self.training: Training | None = None
        self._stopped = threading.Event()
        self.store.set(f"who/{rank}", json.dumps([socket.gethostname(), os.getpid()]))
        self._beat(0)
        threading.Thread(target=self._run, daemon=True, name="pulse").start()

    def _run(self) -> None:
        count = 1
        while not self._stopped.wait(BEAT):
            try:
                self._beat(count)
            except Exception:  # the store has gone; whoever waits for somebody will notice
                return
            count += 1

    def _beat(self, count: int) -> None:
        self.store.set(f"pulse/{self.rank}", json.dumps(count))

    def _step(self) -> int:
        return self.training.steps_done if self.training else 0

    def stop(self) -> None:
        """Give no more signs: this process has done its part."""
        self._stopped.set()

    def confess(self, error: BaseException) -> None:
        """Tell the others why this process ends."""
        with contextlib.suppress(Exception):
            self.store.set(f"failed/{self.rank}", json.dumps([self._step(), one_line(error)]))

    def raise_if_lost(self, patience: float = SILENCE, besides: str = "") -> None:
        """Raise `RankLost` for a process that failed, or gives no sign for `patience` seconds.

        One that failed for the reason `besides`, as this one did, is not to blame.
        """
        others = [rank for rank in range(self.size) if rank != self.rank]
        try:
            before = {rank: self._read(f"pulse/{rank}") for rank in others}
            until = time.monotonic() + patience
            while time.monotonic() < until:
                for rank in others:
                    failed = self._read(f"failed/{rank}")
                    if failed and failed[1] != besides:
                        raise RankLost(_lost(rank, failed[0], f"failed ({failed[1]})"))
                now = {rank: self._read(f"pulse/{rank}") for rank in others}
                silent = [rank for rank in others if now[rank] == before[rank] and now[rank]]
                if not silent:
                    return
                time.sleep(BEAT / 2)
        except RankLost:
            raise
        except Exception as error:  # the store itself has gone, with the process that kept it
            raise RankLost(_lost(0, self._step(), "was killed, and its store is gone")) from error
        for rank in silent:
            self._end(rank)
        # All are at the same step, since each waits for the others at its end.
        raise RankLost(_lost(silent[0], self._step(), "was killed or stopped"))

    def _read(self, key: str) -> Any:
        """Return what the store has; a store that does not answer is an error, not a hang."""
        answer: Future[Any] = Future()
        threading.Thread(target=self._ask, args=(key, answer), daemon=True).start()
        return answer.result(timeout=ANSWER)

    def _ask(self, key: str, answer: Future[Any]) -> None:
        try:
            found = json.loads(self.store.get(key)) if self.store.check([key]) else None
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(found)

    def _end(self, rank: int) -> None:
        """Kill a process of this machine that gives no sign: a stopped one would be waited for."""
        host, process = self._read(f"who/{rank}")
        if host == socket.gethostname():
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)


def one_line(error: BaseException) -> str:
    """Return an error's kind and message in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _lost(rank: int, step: int, what: str) -> str:
    return (
        f"rank {rank} {what} after step {step}; the last checkpoint stands; the same command, with "
        "any number of processes, goes on"
    )


class Deadline:
    """Ends the process without saving when a signal has not led to an agreement in time.

    The main thread may wait in a collective for a process that is no more; Python's handlers do
    not run meanwhile. The interpreter writes each signal's number into a socket even then.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self._ours, self._theirs = socket.socketpair()
        self._done = threading.Event()

    def __enter__(self) -> Deadline:
        if threading.current_thread() is threading.main_thread():
            self._theirs.setblocking(False)
            signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._watch, daemon=True, name="deadline").start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)
        self._theirs.close()

    def _watch(self) -> None:
        while number := self._ours.recv(1):
            if number[0] not in (signal.SIGTERM, signal.SIGINT):
                continue
            if not self._done.wait(GRACE + min(LONGEST, self.training.step_seconds)):
                text = "no agreement to stop in time; nothing is saved, the last checkpoint stands"
                os.write(2, f"groundup: {text}\n".encode())
                os._exit(128 + number[0])
