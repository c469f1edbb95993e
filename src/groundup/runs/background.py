"""One piece of work at a time beside the training: writing, which mostly waits for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """A thread that does one piece of work at a time; what goes wrong is raised by `confirm`."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def submit(self, work: Callable[[], object]) -> None:
        """Do `work` beside what follows, when the one before is done."""
        self.confirm(wait=True)
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True, name="saving")
        self._thread.start()

    def confirm(self, wait: bool = False) -> None:
        """Raise what went wrong in the last work, if it has ended; `wait` for its end."""
        if self._thread is not None and (wait or not self._thread.is_alive()):
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            self._error = error
