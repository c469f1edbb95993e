"""One trainer a run folder: a lock that the operating system drops when its holder dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from groundup.base.errors import RunError
from groundup.base.files import file_error, make_folder

try:
    import fcntl
except ImportError:  # Windows has no flock; two trainers in one folder are not noticed there.
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, or raise `RunError` naming the process that holds it."""
    make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise file_error(path, error) from error
    try:
        if not _try_lock(descriptor):
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise RunError(
                f"{path.parent}: process {holder} is training here; wait for it, stop it, or "
                "choose another --run name"
            )
        with contextlib.suppress(OSError):  # the number only serves the message above
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
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
