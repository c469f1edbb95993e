"""What a system refuses: one line that names the file and what to do."""

from __future__ import annotations

import errno
import os
import resource
from collections import namedtuple
from pathlib import Path

import pytest

from groundup.base.errors import GroundupError, UsageError
from groundup.base.file_names import check_name
from groundup.base.files import REMEDIES, file_error, write_text
from groundup.base.lock import file_lock

Room = namedtuple("Room", "f_files f_favail")


@pytest.mark.parametrize("number", [*REMEDIES, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_each_names_the_file_the_reason_and_what_to_do(number: int) -> None:
    line = str(file_error(Path("a/b"), OSError(number, os.strerror(number))))
    assert line.startswith("a/b: ")
    name, _, remedy = line.partition("; ")
    assert remedy, line
    assert os.strerror(number) in name or "no room" in name


def test_a_disk_without_inodes_is_told_from_a_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert "MiB free" in str(file_error(Path("a"), full))
    monkeypatch.setattr(os, "statvfs", lambda path: Room(1000, 0))
    assert "its inodes are used up" in str(file_error(Path("a"), full))


def test_a_disk_that_knows_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    expected = r"lock: .*; files on that disk cannot be locked; choose a folder on another"
    with (
        pytest.raises(GroundupError, match=expected),
        file_lock(tmp_path / "lock", lambda holder: None),
    ):
        pass


def test_a_lock_is_held_where_its_number_cannot_be_written(tmp_path: Path) -> None:
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, was[1]))
    try:
        with file_lock(tmp_path / "lock", lambda holder: None):
            held = (tmp_path / "lock").exists()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
    assert held


def test_a_name_that_cannot_be_written_down(tmp_path: Path) -> None:
    name = os.fsdecode(b"x\xff.txt")
    with pytest.raises(UsageError, match=r"'x\\udcff.txt': a name that is not UTF-8, .*; rename"):
        check_name(Path(name))
    check_name("é.txt")
    with pytest.raises(GroundupError, match=r"a: '.*x\\udcff' would stand in it, .*; rename"):
        write_text(tmp_path / "a", f"run = {name}")
    assert not (tmp_path / "a").exists()
