"""An end in time after a signal, also where the main thread waits and hears none."""

from __future__ import annotations

import os
import signal
import socket
import threading

from groundup.base.output import tell_at_once
from groundup.base.signals import STOPS
from groundup.processes.alone import HowFar
from groundup.processes.launch import speaks

GRACE, LONGEST = 5.0, 15.0
"""Seconds in which all must have agreed to stop after a signal, beside a step that is under way;
launchers kill after 30."""


class Deadline:
    """Ends the process without saving when a signal has not led to an end in time.

    The main thread may wait for a process that is no more, for the others to be there at all, or in
    a collective; Python's handlers do not run meanwhile. The interpreter writes each signal's
    number into a socket even then.
    """

    def __init__(self) -> None:
        self.how_far: HowFar | None = None
        self._ours, self._theirs = socket.socketpair()
        self._done = threading.Event()

    def __enter__(self) -> Deadline:
        if threading.current_thread() is threading.main_thread():
            self._theirs.setblocking(False)
            signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._watch, daemon=True, name="deadline").start()
        return self

    def agreed(self) -> None:
        """Let the rest take as long as it takes: all have agreed to stop."""
        self._done.set()

    def __exit__(self, *error: object) -> None:
        self._done.set()
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)
        self._theirs.close()

    def _watch(self) -> None:
        while number := self._ours.recv(1):
            if number[0] not in STOPS:
                continue
            text = "interrupted while it waited for the others"
            if self.how_far:
                text = "no agreement to stop in time; nothing is saved, the last checkpoint stands"
            step = self.how_far()[1] if self.how_far else 0.0
            if not self._done.wait(GRACE + min(LONGEST, step)):
                if speaks():
                    tell_at_once(text)
                os._exit(128 + number[0])
