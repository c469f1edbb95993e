"""Regular files alone: what others put under a file's name may be endless, or lead elsewhere.

A device or a pipe is read for ever, or waits for somebody to write; a link in a folder that was
handed over leads out of it. What is read here has a size that holds: `stat` tells that of a pipe,
a device or a growing file wrongly, so that the bytes that come are counted.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from groundup.base.errors import GroundupError

LARGEST = 4 << 20
"""Bytes of a file of settings or a manifest: room for 20,000 shards, or as many sources."""
LARGE = 1 << 30
"""Bytes that are read in a second or two, whatever they are."""
PART = 1 << 20
"""Bytes read at a time: a buffer as large as the bound would take memory for a small file, too."""
MOST_ENTRIES = 100_000
"""Files and folders in the folder of a run."""
# Windows has neither links that anybody may make, nor pipes and devices among files.
_NO_LINK, _NO_WAIT = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)
_KINDS: list[tuple[Callable[[int], bool], str]] = [
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
]


def open_regular(path: Path, mode: str = "rb", *, links: bool = True) -> io.BufferedIOBase:
    """Open a regular file as `open` does; anything else under its name is a `GroundupError`.

    Without `links` it must not be a link, either; nor, where it is appended to ("ab"), have another
    name, under which what is written would stand, too. What the system refuses is an `OSError`.
    """

    def opener(name: str, flags: int) -> int:
        try:
            more = _NO_WAIT | (0 if links else _NO_LINK)
            descriptor = os.open(name, flags | more, 0o666)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a pipe that nobody reads
                raise _irregular(path, os.lstat(name).st_mode) from error
            raise
        status = os.fstat(descriptor)
        found = status.st_mode
        if not (stat.S_ISREG(found) or stat.S_ISDIR(found)):  # a folder `open` refuses itself
            os.close(descriptor)
            raise _irregular(path, found)
        if mode == "ab" and not links and stat.S_ISREG(found) and status.st_nlink > 1:
            os.close(descriptor)
            raise GroundupError(
                f"{path}: it is in another folder, too (by a hard link), and what is written here "
                "would stand there; copy this folder to a new one, with cp -r, and use that"
            )
        return descriptor

    file = open(path, mode, opener=opener)  # noqa: SIM115 - the caller closes it
    return cast(io.BufferedIOBase, file)


def read_bytes(path: Path, most: int = LARGEST, *, links: bool = True) -> bytes:
    """Return the content of a small file; a larger one than `most` bytes is a ValueError."""
    content = bytearray()
    with open_regular(path, links=links) as file:
        while len(content) <= most and (part := file.read(PART)):
            content += part
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return bytes(content)


def refuse_holes(path: Path, status: os.stat_result) -> None:
    """Refuse a large file of which nearly nothing is on the disk: reading it takes for ever."""
    on_disk = 512 * getattr(status, "st_blocks", status.st_size)
    if status.st_size > LARGE and on_disk < status.st_size // 64:
        raise GroundupError(
            f"{path}: {status.st_size >> 20:,} MiB, of which {on_disk >> 20:,} are on the disk: a "
            "sparse file, or one that was not copied whole; copy it again, or remove it"
        )


def refuse_endless(folder: Path) -> None:
    """Refuse a folder in which anything is a pipe, a socket or a device, or a link to one."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        refuse_endless_file(path)


def refuse_endless_file(path: Path) -> None:
    """Refuse a pipe, a socket or a device, or a link to one; what is absent is not refused."""
    with contextlib.suppress(OSError):  # a link that leads nowhere is absent
        check_regular(os.fspath(path), path.stat())


def refuse_irregular(folder: Path) -> None:
    """Refuse a folder in which, at any depth, is anything but regular files and folders.

    The folder itself may be a link; one that is not there is not refused.
    """
    for path, status in entries_below(folder):
        check_regular(path, status)


def entries_below(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path and the status of all that is in a folder, at any depth; no link is followed.

    More than `MOST_ENTRIES` are a `GroundupError`.
    """
    n_entries, todo = 0, [os.fspath(folder)]
    while todo:
        found = list(_entries(todo.pop()))
        n_entries += len(found)
        if n_entries > MOST_ENTRIES:
            raise GroundupError(
                f"{folder}: more than {MOST_ENTRIES:,} files in it; move away what is not the run's"
            )
        todo += [path for path, status in found if stat.S_ISDIR(status.st_mode)]
        yield from found


def _entries(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in a folder; a running trainer removes checkpoints meanwhile."""
    gone = contextlib.suppress(FileNotFoundError, NotADirectoryError)
    with gone, os.scandir(folder) as entries:
        for entry in entries:
            with gone:
                yield entry.path, entry.stat(follow_symlinks=False)


def check_regular(path: str, status: os.stat_result) -> None:
    """Refuse what is neither a regular file nor a folder."""
    if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
        raise _irregular(Path(path), status.st_mode)


def _irregular(path: Path, mode: int) -> GroundupError:
    kind = next((name for test, name in _KINDS if test(mode)), "a device")
    return GroundupError(
        f"{path}: expected a regular file, but it is {kind}, which is neither read nor written "
        "here; remove it, or put the file itself in its place"
    )
