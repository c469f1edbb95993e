"""One holder at a time: a lock that the operating system drops when its holder dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from groundup.base.files import file_error, make_folder

try:
    import fcntl
except ImportError:  # Windows has no flock; two holders of one lock are not noticed there.
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def file_lock(path: Path, when_held: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`, made where absent.

    Where another process has it, `when_held` is called with that process's number; if it returns,
    the lock is waited for.
    """
    make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise file_error(path, error) from error
    try:
        if not _try_lock(descriptor):
            when_held(os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):  # the number only serves messages
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Tell whether a living process holds the lock file `path`."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
