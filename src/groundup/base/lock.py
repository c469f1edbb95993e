"""One holder at a time: a lock that the operating system drops when its holder dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from groundup.base.files import file_error, make_folder
from groundup.base.flock import try_lock, wait_for_lock
from groundup.base.regular import open_regular


@contextlib.contextmanager
def file_lock(path: Path, when_held: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`, made where absent.

    Where another process has it, `when_held` is called with that process's number; if it returns,
    the lock is waited for.
    """
    make_folder(path.parent)
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(open_regular(path, "ab+", links=False))
            if not try_lock(file.fileno()):
                holder = os.pread(file.fileno(), 32, 0)
                when_held(holder.decode("ascii", "replace").strip() or "unknown")
                wait_for_lock(file.fileno())
        except OSError as error:
            raise file_error(path, error) from error
        with contextlib.suppress(OSError):  # the number only serves messages
            if os.fstat(file.fileno()).st_nlink == 1:  # else it would stand elsewhere, too
                os.truncate(file.fileno(), 0)
                os.write(file.fileno(), f"{os.getpid()}\n".encode())  # a buffer fails when closed
        yield


def is_locked(path: Path) -> bool:
    """Tell whether a living process holds the lock file `path`."""
    try:
        with open_regular(path, "rb+", links=False) as file:
            return not try_lock(file.fileno())
    except OSError:
        return False
