"""Files are whole or absent."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from groundup.base.errors import ConfigError, GroundupError, UsageError, nearest
from groundup.base.files import (
    atomic_writer,
    cache_folder,
    file_error,
    file_sha256,
    make_folder,
    read_json,
    write_json,
    write_text,
)
from groundup.plan.calibration import load_calibration


def test_a_file_that_was_written_is_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_json(path, {"é": [1, None]})
    assert read_json(path) == {"é": [1, None]}
    assert "é" in path.read_text(encoding="utf-8")
    write_json(path, name := os.fsdecode(b"\xff\xe9.txt"))
    assert read_json(path) == name
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a"
    write_text(path, "old")
    with pytest.raises(error), atomic_writer(path) as file:  # noqa: PT012 - the failure is within
        file.write(b"new")
        file.flush()
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a"
    with pytest.raises(GroundupError, match="no room to write") as caught, atomic_writer(path):
        raise OSError(number, os.strerror(number))
    assert str(path) in str(caught.value)
    assert "MiB free" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        assert os.umask(before) == 0o027, "the umask is as it was"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_where_no_folder_can_be(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "x")
    with pytest.raises(GroundupError, match="check the path and its permissions"):
        make_folder(tmp_path / "file" / "folder")
    with pytest.raises(GroundupError):
        write_text(tmp_path / "file" / "folder" / "a", "x")


def test_json_that_is_absent_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="No such file"):
        read_json(tmp_path / "none")
    for damage in (b"{", b"\xff", b""):
        (tmp_path / "a").write_bytes(damage)
        with pytest.raises(GroundupError, match="expected JSON"):
            read_json(tmp_path / "a")


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "a") == expected


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDUP_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/own")
    monkeypatch.delenv("GROUNDUP_CACHE")
    assert cache_folder() == Path("/xdg/groundup")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "groundup"


def test_errors_say_what_and_know_their_exit_code() -> None:
    message = str(file_error(Path("/none/a"), OSError(errno.EACCES, "Permission denied")))
    assert message == "/none/a: Permission denied; check the path and its permissions"
    assert nearest("nona", ["nano", "mini"]) == "did you mean 'nano'?"
    assert nearest("zzz", ["nano", "mini"]) == "known: nano, mini"
    assert [e.exit_status for e in (GroundupError, UsageError, ConfigError)] == [1, 2, 2]


def test_a_user_without_a_home_is_told_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("GROUNDUP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(UsageError, match="name a folder for it with GROUNDUP_CACHE"):
        cache_folder()
    assert load_calibration() is None


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    (link := tmp_path / "link").symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(GroundupError, match="expected a regular file, but it is a pipe"):
            write_text(path, "x")
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert len(list(tmp_path.iterdir())) == 2
