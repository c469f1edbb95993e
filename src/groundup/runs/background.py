"""One piece of work at a time beside the training: writing, which mostly waits for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """A thread that does one job at a time; what goes wrong in it is raised where it is asked."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def submit(self, job: Callable[[], object]) -> None:
        """Do `job` beside what follows, when the one before is done."""
        self.confirm(wait=True)
        self._thread = threading.Thread(target=self._run, args=(job,), daemon=True, name="saving")
        self._thread.start()

    def confirm(self, wait: bool = False) -> None:
        """Raise what went wrong in the last job, if it has ended; `wait` for its end."""
        if self._thread is not None and (wait or not self._thread.is_alive()):
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:
            self._error = error
