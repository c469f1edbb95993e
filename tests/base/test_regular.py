"""What is opened is a regular file: no link leads out of a folder, no pipe is waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.base.errors import GroundupError
from groundup.base.files import file_sha256
from groundup.base.lock import file_lock, is_locked
from groundup.base.regular import open_regular, read_bytes, refuse_endless, refuse_irregular


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


MADE: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": bind_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("mode", ["rb", "ab", "rb+"])
def test_nothing_but_a_regular_file_is_opened(
    kind: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    MADE[kind](path := Path("it"))
    with pytest.raises((GroundupError, IsADirectoryError), match=rf"it is {kind}|Is a directory"):
        open_regular(path, mode)


def test_a_link_is_followed_unless_that_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"mine")
    link = tmp_path / "link"
    link.symlink_to("own")
    assert read_bytes(link) == b"mine"
    for mode in ("rb", "ab", "rb+"):
        with pytest.raises(GroundupError, match=f"{link}: expected a regular file, but it is a li"):
            open_regular(link, mode, links=False)
    assert read_bytes(tmp_path / "own", links=False) == b"mine"
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none", links=False)


def test_bytes_are_counted_as_they_come(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_bytes(tmp_path / "a", 4)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="more than 4,194,304 bytes"):
        read_bytes(tmp_path / "sparse")


@pytest.mark.parametrize("where", ["it", "deep/down/it"])
@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a link"])
def test_a_folder_with_anything_else_in_it_is_refused(
    kind: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("run") / where
    path.parent.mkdir(parents=True)
    (path.parent / "file").touch()
    refuse_irregular(Path("run"))
    (MADE | {"a link": lambda path: path.symlink_to("file")})[kind](path)
    with pytest.raises(
        GroundupError, match=f"run/{where}: expected a regular file, but it is {kind}"
    ):
        refuse_irregular(Path("run"))
    Path("link").symlink_to("run")
    with pytest.raises(GroundupError, match=f"link/{where}: "):
        refuse_irregular(Path("link"))


def test_the_folder_may_be_absent_or_a_link_but_not_endless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_irregular(tmp_path / "none")
    (tmp_path / "link").symlink_to(tmp_path)
    refuse_irregular(tmp_path / "link" / "none")
    monkeypatch.setattr("groundup.base.regular.MOST_ENTRIES", 2)
    for name in "abc":
        (tmp_path / "run" / name).mkdir(parents=True)
    with pytest.raises(GroundupError, match="more than 2 files in it"):
        refuse_irregular(tmp_path / "run")


def test_a_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "lock").symlink_to("precious")
    with (
        pytest.raises(GroundupError, match="lock: expected a regular file, but it is a link"),
        file_lock(tmp_path / "lock", lambda holder: None),
    ):
        pass
    assert (tmp_path / "precious").read_text() == "kept"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GroundupError, match="it is a pipe"):
        is_locked(tmp_path / "pipe")


def test_a_large_file_that_is_nearly_all_hole_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "hole"
    path.write_bytes(b"x" * 5000)
    with path.open("ab") as file:
        file.truncate(100 << 30)
    with pytest.raises(GroundupError, match="hole: 102,400 MiB, of which 0 are on the disk"):
        file_sha256(path)
    with path.open("ab") as file:
        file.truncate(1 << 20)
    assert len(file_sha256(path)) == 64


def test_a_folder_of_others_may_hold_links_to_files_alone(tmp_path: Path) -> None:
    refuse_endless(tmp_path / "absent")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    refuse_endless(tmp_path)
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(GroundupError, match="zero: expected a regular file, but it is a device"):
        refuse_endless(tmp_path)
