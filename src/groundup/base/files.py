"""Files that are either whole or absent: write beside, flush to the device, rename."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from groundup.base.errors import GroundupError, UsageError, shown
from groundup.base.flock import held, is_abandoned
from groundup.base.parse import parse_json, parse_toml
from groundup.base.regular import open_regular, read_bytes, refuse_endless_file, refuse_holes

OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REMEDIES = {
    errno.EROFS: "nothing can be written on that disk; choose a folder on another",
    errno.ENOLCK: "files on that disk cannot be locked; choose a folder on another",
    errno.EOPNOTSUPP: "that disk cannot do it; choose a folder on another",
    errno.EIO: "the disk, or what it is reached by, fails; see the system's log, use another disk",
    errno.ESTALE: "the disk was reached over a network, and is gone; connect it again",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the number of files that a process may open (ulimit -n)",
    errno.ENFILE: "end what else has so many files open on this machine",
}
"""What to do about what a system says of a file; else it is the path or its permissions."""
UNFINISHED = ".unfinished-"
"""Begins the name of what is being written, and of what a killed process left."""


def cache_folder() -> Path:
    """Return the folder for fetched and prepared things: $GROUNDUP_CACHE or the user's cache."""
    if own := os.environ.get("GROUNDUP_CACHE"):
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "groundup"
    except RuntimeError as error:  # as in a container, for a user whom it does not know
        raise UsageError(
            "no home of this user is known, to keep what is fetched; name a folder for it with "
            "GROUNDUP_CACHE"
        ) from error


def file_error(path: Path, error: OSError) -> GroundupError:
    """Turn an operating-system error about `path` into one line that says what to do."""
    if error.errno in OUT_OF_SPACE:
        return GroundupError(
            f"{path}: no room to write ({_free(path)}); free some space or choose another folder, "
            "then run the same command again"
        )
    reason = error.strerror or str(error)
    remedy = REMEDIES.get(error.errno or 0, "check the path and its permissions")
    return GroundupError(f"{path}: {reason}; {remedy}")


def _free(path: Path) -> str:
    """Say how much room is left where `path` is: a disk may be full of files, too."""
    for folder in [path, *path.parents]:
        with contextlib.suppress(OSError):
            if (
                hasattr(os, "statvfs")
                and (files := os.statvfs(folder)).f_files
                and not files.f_favail
            ):
                return "no file more on that disk: its inodes are used up"
            return f"{shutil.disk_usage(folder).free >> 20} MiB free on that disk"
    return "how much is free is unknown"


@contextlib.contextmanager
def temporary_file(mode: str = "w+b", **settings: Any) -> Iterator[IO[Any]]:
    """Open a file without a name, as long as the block lasts; where it has no room, say where."""
    try:
        with tempfile.TemporaryFile(mode, **settings) as file:
            yield file
    except OSError as error:
        if error.errno in OUT_OF_SPACE and error.filename is None:
            raise file_error(Path(tempfile.gettempdir()), error) from error
        raise


def make_folder(path: Path) -> Path:
    """Create `path` and its parents where absent, and return it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(path, error) from error
    return path


def new_path(path: Path) -> Path:
    """Return `path`, which must be the name of something new, or of an empty folder."""
    if not path.name:
        raise UsageError(f"{path}: this very folder; give the name of a new one")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UsageError(f"{path} is there already; choose another name, or remove it first")
    return path


def sync_folder(path: Path) -> None:
    """Make renames inside `path` survive a power cut (not possible, nor needed, on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def unfinished_path(path: Path) -> Iterator[Path]:
    """Yield where `path` is made until it is whole: under its name, in a hidden folder beside it.

    That folder is all that a kill can leave, and the next one to make `path` removes it.
    """
    make_folder(path.parent)
    remove_abandoned(path)
    try:
        hidden = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{UNFINISHED}{path.name}."))
        try:
            with held(hidden):
                yield hidden / path.name
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
    except OSError as error:
        raise file_error(path, error) from error


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield the path of what becomes the new file or folder `path` on success."""
    with unfinished_path(new_path(path)) as unfinished:
        yield unfinished
        os.replace(unfinished, path)
        sync_folder(path.parent)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder that becomes the folder `path` on success, and else leaves no trace."""
    with atomic_path(path) as unfinished:
        unfinished.mkdir()
        yield unfinished


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes `path` on success and leaves no trace on failure.

    It lies beside `path`; what a kill leaves of it, the next one to write `path` removes.
    """
    make_folder(path.parent)
    refuse_endless_file(path)  # as root, a device would be replaced: /dev/full, or /dev/stdout
    remove_abandoned(path)
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f"{UNFINISHED}{path.name}."
        )
        with held(Path(temporary)):
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            raise file_error(path, error) from error
        raise


def remove_abandoned(path: Path) -> None:
    """Remove what killed processes left of `path`; what a living one writes, it holds."""
    for left in path.parent.glob(f"{glob.escape(UNFINISHED + path.name)}.*"):
        if is_abandoned(left):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    left.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        odd = text[max(0, error.start - 30) : error.end]
        raise GroundupError(
            f"{path}: {odd!a} would stand in it, which is not UTF-8; rename what has that name"
        ) from error
    with atomic_writer(path) as file:
        file.write(raw)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # the name of a file that is not UTF-8, as in old archives
        text = json.dumps(value, indent=2)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read the JSON file `path`; a file that is absent or not JSON is a one-line error."""
    return _parsed(path, "JSON", parse_json)


def read_toml(path: Path) -> dict[str, Any]:
    """Read the TOML file `path`; a file that is absent or not TOML is a one-line error."""
    tables: dict[str, Any] = _parsed(path, "TOML", parse_toml)
    return tables


def _parsed(path: Path, form: str, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(read_bytes(path))
    except OSError as error:
        raise file_error(path, error) from error
    except ValueError as error:
        raise GroundupError(
            f"{path}: expected {form}, but {shown(str(error), 200)}; restore or remove the file"
        ) from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal; a sparse file is a `GroundupError`."""
    with open_regular(path) as file:
        refuse_holes(path, os.fstat(file.fileno()))
        return hashlib.file_digest(file, "sha256").hexdigest()
