"""The system's own lock on an open file or folder, dropped when its holder dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock; two holders of one lock are not noticed there.
    fcntl = None  # type: ignore[assignment]


def try_lock(descriptor: int) -> bool:
    """Take the lock unless another holds it; tell whether it is ours."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(descriptor: int) -> None:
    """Take the lock as soon as nobody else holds it."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Take the lock of a file or folder, and yield whether it is ours, and not another's."""
    if fcntl is None:
        yield True
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def is_abandoned(path: Path) -> bool:
    """Tell whether a file or folder, which its maker holds, has a living maker no more."""
    if fcntl is None:
        return False
    try:
        with held(path) as ours:
            return ours
    except OSError:  # removed meanwhile, or not ours to open
        return False
