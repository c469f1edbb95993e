"""Signals as requests that training answers at the next step: to stop, or to save and go on."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

HANGS_UP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # Windows has neither
STOPS = (signal.SIGINT, signal.SIGTERM, *HANGS_UP)
SAVES = (signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()


class Interrupted(BaseException):
    """A request to stop that is carried out at once; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Requests:
    """What has been asked of this process by signals since it was entered.

    Before training there is nothing to save, and a request to stop raises `Interrupted` wherever
    the process is. While `patient`, it is remembered, and the second one raises. A request to save
    is remembered from the beginning. Outside of the main thread nothing is heard.
    """

    def __init__(self) -> None:
        self.stop: int | None = None
        self.save = False
        self.patient = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Requests:
        if threading.current_thread() is threading.main_thread():
            handlers = dict.fromkeys(stops(), self._asked_to_stop)
            handlers |= dict.fromkeys(SAVES, self._asked_to_save)
            self._before = {number: signal.signal(number, h) for number, h in handlers.items()}
            unblock(SAVES)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if set(SAVES) & set(self._before):
            block_saves()  # as the handler that was there may be the one that ends the process
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        if not self.patient or self.stop is not None:
            raise Interrupted(number)
        self.stop = number

    def _asked_to_save(self, number: int, frame: FrameType | None) -> None:
        self.save = True


def stops() -> list[int]:
    """Return the signals that stop: all but a hang-up that is ignored, as `nohup` wants it."""
    return [n for n in STOPS if n not in HANGS_UP or signal.getsignal(n) != signal.SIG_IGN]


def block_saves() -> None:
    """Keep a request to save waiting until somebody listens: by itself it would end the process."""
    if SAVES:
        signal.pthread_sigmask(signal.SIG_BLOCK, SAVES)


def unblock(numbers: tuple[int, ...]) -> None:
    """Let what was held back come."""
    if numbers:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
