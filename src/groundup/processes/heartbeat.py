"""Signs of life between the processes of a training, so that none waits for one that has ended."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from groundup.base.errors import GroundupError, RunError
from groundup.base.output import tell_at_once
from groundup.base.signals import Interrupted
from groundup.processes.alone import HowFar
from groundup.processes.launch import speaks

T = TypeVar("T")

BEAT = 0.5
"""Seconds between the signs of life that each process gives."""
SILENCE = 2.5
"""Seconds without one after which a process that cannot be waited for counts as lost."""
UNWINDING = 4.0
"""Seconds that a process has to end by itself when another one is lost."""
ANSWER = 5.0
"""Seconds that the store may take to answer."""
AGAIN = 1.0
"""The same where it has not answered for a while: it is asked again and again."""


class RankLost(RunError):  # noqa: N818 - "rank 1 lost" is what the message says
    """Another process of the same training that is no longer there, or has failed."""

    exit_status = 5
    leaves_at_once = True
    known_to_all = True
    was_told = False
    """Whether a signal has told it to stop, which may have gone to all."""


class Store(Protocol):
    """What the processes can all read and write: `torch.distributed`'s store."""

    def set(self, key: str, value: str) -> None:
        """Write."""

    def get(self, key: str) -> bytes:
        """Read; waits for a key that is not there."""

    def multi_get(self, keys: list[str]) -> list[bytes]:
        """Read several."""

    def check(self, keys: list[str]) -> bool:
        """Tell whether keys are there."""

    def clone(self) -> Store:
        """Return another way to the same store."""

    def set_timeout(self, timeout: timedelta) -> None:
        """Bound the time that a call waits."""


@dataclass
class Sign:
    """What another process says of itself, when it last said something new, and who it was."""

    said: dict[str, Any]
    heard: float
    who: list[str] | None


class Heartbeat:
    """What each process tells the others of itself: that it is there, and how far it is."""

    def __init__(self, store: Store, rank: int, size: int, patience: float) -> None:
        """Begin to be heard; a silence of `patience` seconds is a loss even if nobody waits."""
        self.rank, self.size, self.patience = rank, size, patience
        self.how_far: HowFar | None = None
        self._store = store.clone()  # which nobody else waits for
        self._store.set_timeout(timedelta(seconds=ANSWER))
        self._own: dict[str, Any] = {"who": _identity(), "beat": 0, "state": "here"}
        self._others: dict[int, Sign] = {}
        self._answered = time.monotonic()
        self._noticed, self._over = threading.Event(), threading.Event()
        self._speaking = threading.Lock()
        self._say()

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Work together within: if another process is lost, say which, and never hang."""
        watch = threading.Thread(target=self._watch, daemon=True, name="heartbeat")
        try:
            self.meet("start")
            watch.start()
            yield
            self._leave()
        except Interrupted as error:
            self._noticed.set()
            # A launcher ends all where one was killed: that one is named, not who was told to stop.
            if (lost := self.lost(SILENCE)) and not lost.was_told:
                self._tell(state="left")
                raise lost from error
            self._tell(state="stopped", step=self._step())
            raise
        except BaseException as error:
            self._noticed.set()
            if isinstance(error, GroundupError) and error.known_to_all:
                self._tell(state="left")
                raise
            self._tell(state="failed", step=self._step(), why=one_line(error))
            if isinstance(error, GroundupError) or not isinstance(error, Exception):
                raise
            if "time" in str(error).lower():  # where it has waited until now
                faulthandler.dump_traceback(sys.stderr, all_threads=True)
            self.raise_if_lost(SILENCE, SILENCE + 2 * BEAT, besides=one_line(error))
            raise
        finally:
            self._noticed.set()
            self._over.set()
            if (
                watch.is_alive()
            ):  # a thread that is with the store as Python ends aborts the process
                watch.join(ANSWER)

    def meet(self, name: str) -> None:
        """Wait until all are here, however long what some do before takes."""
        self.ask(lambda: self._store.set(f"{name}/{self.rank}", ""), None)
        keys = [f"{name}/{rank}" for rank in range(self.size)]
        while not self.ask(lambda: self._store.check(keys), False):
            self.raise_if_lost(self.patience)
            time.sleep(0.05)

    def read(self, key: str) -> bytes | None:
        """Return what a process has written, None where it has not yet."""
        return self.ask(lambda: self._store.get(key) if self._store.check([key]) else None, None)

    def raise_if_lost(self, silence: float, wait: float = 0.0, besides: str = "") -> None:
        """Raise if another process is lost, as `lost` tells, now or within `wait` seconds."""
        until = time.monotonic() + wait
        while (lost := self.lost(silence, besides)) is None:
            if time.monotonic() >= until:
                return
            time.sleep(BEAT / 4)
        raise lost

    def lost(self, silence: float, besides: str = "") -> RankLost | None:
        """Return which other process failed, ended, or has been silent for so many seconds.

        One that failed for the reason `besides`, as this one did, is not to blame.
        """
        gone = {rank for rank, sign in self._others.items() if _alive(sign.who) is False}
        store_lost = None
        try:  # their last words too, as they ended before
            self.ask(self._hear, None)
        except RankLost as error:
            store_lost = error
        now = time.monotonic()
        others = {r: sign for r, sign in self._others.items() if sign.said["state"] != "left"}
        for rank, sign in others.items():
            if sign.said["state"] == "failed" and (why := sign.said["why"]) != besides:
                return _lost(rank, sign.said["step"], f"failed ({why})")
        # The others are at the same step as this one, since each waits for all at its end.
        for rank, sign in others.items():
            if sign.said["state"] in ("failed", "stopped"):
                continue
            if rank in gone or sign.said["who"] != sign.who:
                return _lost(rank, self._step(), "was killed")
            if now - sign.heard > silence and now - self._answered < silence:
                _end(sign.who)
                return _lost(rank, self._step(), "was killed or stopped")
        if stopped := [rank for rank, sign in others.items() if sign.said["state"] == "stopped"]:
            told = _lost(stopped[0], others[stopped[0]].said["step"], "was told to stop")
            told.was_told = True
            return told
        if now - self._answered > silence:
            store_lost = self._store_lost()
        return store_lost if 0 in others or not self._others else None

    def ask(self, question: Callable[[], T], unanswered: T) -> T:
        """Return the store's answer; `unanswered` where none comes in time: the network may be cut.

        Raises `RankLost` where there is no store any more.
        """
        answer: Future[T] = Future()

        def wait() -> None:
            try:
                answer.set_result(question())
            except Exception as error:
                answer.set_exception(error)

        threading.Thread(target=wait, daemon=True).start()
        silent = time.monotonic() - self._answered > SILENCE
        try:
            found = answer.result(timeout=AGAIN if silent else ANSWER)
        except TimeoutError:
            return unanswered
        except Exception as error:
            raise self._store_lost() from error
        self._answered = time.monotonic()
        return found

    def _watch(self) -> None:
        """Give signs of life, and look for those of the others, while the main thread works.

        That may wait for a process that has ended, and would never notice.
        """
        since: float | None = None
        while not self._over.wait(BEAT):
            self._own["beat"] += 1
            self._tell()
            now, lost = time.monotonic(), self.lost(self.patience)
            since = (since or now) if lost else None
            if lost and since and now - since > UNWINDING and not self._noticed.is_set():
                faulthandler.dump_traceback(sys.stderr, all_threads=True)
                if not lost.is_said:
                    tell_at_once(str(lost))
                os._exit(lost.exit_status)

    def _tell(self, **news: Any) -> None:
        """Say how this process is, if anybody can hear it."""
        self._own.update(news)
        with contextlib.suppress(RankLost):
            self.ask(self._say, None)

    def _say(self) -> None:
        with self._speaking:  # so that nothing older arrives after it
            self._store.set(f"heartbeat/{self.rank}", json.dumps(self._own))

    def _hear(self) -> None:
        """Note what the others say, and when they last said something new."""
        ranks = [rank for rank in range(self.size) if rank != self.rank]
        keys = [f"heartbeat/{rank}" for rank in ranks]
        if not self._store.check(keys):
            return
        texts, now = self._store.multi_get(keys), time.monotonic()
        slept = now - self._answered > SILENCE  # this process; the others may have, too
        for rank, text in zip(ranks, texts, strict=True):
            said, before = json.loads(text), self._others.get(rank)
            if before is None or said != before.said or slept:
                who = before.who if before else said["who"]
                self._others[rank] = Sign(said, now, who)

    def _leave(self) -> None:
        """Tell the others that this process has done its part; who keeps the store goes last."""
        self._tell(state="left")
        self.go_last()

    def go_last(self) -> None:
        """Wait for the others to end, if this is the first process; not for long."""
        until = time.monotonic() + ANSWER
        while self.rank == 0 and time.monotonic() < until:
            self.ask(self._hear, None)
            if all(sign.said["state"] != "here" for sign in self._others.values()):
                return
            time.sleep(0.05)

    def _step(self) -> int:
        return self.how_far()[0] if self.how_far else 0

    def _store_lost(self) -> RankLost:
        return _lost(0, self._step(), "was killed or cut off")


def one_line(error: BaseException) -> str:
    """Return an error's kind and message in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _lost(rank: int, step: int, what: str) -> RankLost:
    lost = RankLost(
        f"rank {rank} {what} after step {step}; the last checkpoint stands; the same command, with "
        "any number of processes, goes on"
    )
    lost.is_said = not speaks(rank)  # by another one, which has lost the same
    return lost


@cache
def _identity() -> list[str] | None:
    """Return the machine, the namespace, the number and the start of this process, if known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return [boot, str(Path("/proc/self/ns/pid").readlink()), *_started(os.getpid())]
    except OSError:
        return None


def _started(process: int) -> list[str]:
    """Return a process's number and when it was started; nothing where it has ended."""
    try:
        state, *rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if state in ("Z", "X") else [str(process), rest[18]]


def _alive(who: list[str] | None) -> bool | None:
    """Tell whether another process is there; None where it cannot be told from here."""
    own = _identity()
    if who is None or own is None or who[:2] != own[:2]:
        return None
    return _started(int(who[2])) == who[2:]


def _end(who: list[str] | None) -> None:
    """Kill a process of this machine that gives no sign: a stopped one would be waited for."""
    if who is not None and _alive(who):
        with contextlib.suppress(OSError):
            os.kill(int(who[2]), signal.SIGKILL)
