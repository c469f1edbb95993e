"""A story to learn from, and experiments that take seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.texts import text_file

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture
def story(tmp_path: Path) -> str:
    return str(text_file(tmp_path, 1500))


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """The toy's file, to be changed."""
    path = tmp_path / "toy.py"
    path.write_text(TOY.read_text("utf-8"), encoding="utf-8")
    return path
