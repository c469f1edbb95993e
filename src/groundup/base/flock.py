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


class SharedLock:
    """A lock that the readers of a file or folder share: while there is one, none is free of them.

    It is held until this object is gone. Raises OSError where there is nothing of that name, and
    BlockingIOError where it is about to be removed.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        try:
            if fcntl is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks: nobody has any
            pass

    def is_of(self, path: Path) -> bool:
        """Tell whether what is locked still has this name."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(path))
        except OSError:
            return False

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


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


@contextlib.contextmanager
def free_of_readers(path: Path) -> Iterator[bool]:
    """Yield whether nobody has a `SharedLock` of a file or folder; meanwhile nobody gets one."""
    with contextlib.ExitStack() as locked:
        try:
            is_free = locked.enter_context(held(path))
        except OSError:  # a file system without locks: nobody has any
            is_free = True
        yield is_free


def is_abandoned(path: Path) -> bool:
    """Tell whether a file or folder, which its maker holds, has a living maker no more."""
    if fcntl is None:
        return False
    try:
        with held(path) as ours:
            return ours
    except OSError:  # removed meanwhile, or not ours to open
        return False
