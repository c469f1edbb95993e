"""The pictures of README and docs: whole, small, and drawn as a terminal shows them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from groundup.report.charts import Chart, Series
from groundup.report.drawing import drawing

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
PICTURES = sorted(FIGURES.glob("*.svg"))


def words(picture: str) -> str:
    return "".join(ElementTree.fromstring(picture).itertext())


@pytest.fixture
def record() -> Any:
    spec = importlib.util.spec_from_file_location("record", FIGURES / "record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_committed_picture_is_whole_and_small(path: Path) -> None:
    picture = path.read_text(encoding="utf-8")
    assert words(picture)
    assert len(picture) < 100_000
    links = re.findall(r"https?://[^\"]+|url\(|<script|href", picture)
    assert set(links) <= {"http://www.w3.org/2000/svg"}


def test_the_recording_shows_the_commands(record: Any) -> None:
    shown = words(record.OUT.read_text(encoding="utf-8"))
    for command in record.COMMANDS:
        assert all(word in shown for word in command.split())


@pytest.mark.parametrize("name", ["learning", "overfitting"])
def test_the_page_says_what_the_curves_show(name: str) -> None:
    text = (FIGURES.parent / "training.md").read_text(encoding="utf-8")
    page = " ".join(text.replace("> ", "").split())
    shown = words((FIGURES / f"{name}.svg").read_text(encoding="utf-8"))
    figures = r"validation: .*?, ([\d.]+) at step (\d+), lowest ([\d.]+) at step (\d+)\."
    found = re.search(figures, shown)
    assert found
    last, end, lowest, best = found.groups()
    if name == "learning":
        assert (last, end) == (lowest, best)
        assert f"to {last} in the last" in page
    else:
        assert f"since step {best}: the validation loss rose from {lowest} to {last} while" in page


def test_a_recording_is_what_the_screen_shows_in_the_end(record: Any, tmp_path: Path) -> None:
    live = r"working\r\033[2K\033[1mbold\033[0m \033[2mdim\033[0m <&> \033[33mx\033[0m\n"
    rows = record.run(f"printf '{live}'; stty size", str(tmp_path))
    assert [[piece for piece in row if piece[0].strip()] for row in rows] == [
        [("bold", True, record.INK), ("dim", False, record.DIM), (" <&> ", False, record.INK),
         ("x", False, record.COLOURS["yellow"])],
        [("50 80", False, record.INK)],
    ]  # fmt: skip
    assert "bold" in words(record.picture(rows))


def test_a_command_that_fails_is_not_recorded(record: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="status 3"):
        record.run("exit 3", str(tmp_path))


def test_a_drawing_is_a_picture_of_its_own_in_light_and_dark() -> None:
    points = [(float(i), 5 - i / 10) for i in range(30)]
    series = [Series(name="a < b", points=points), Series(name="absent", points=[])]
    picture = drawing(Chart(title="Loss & more", series=series, y_label="nats"))
    shown = words(picture)
    for text in ("Loss & more", "a < b", "nats", "step"):
        assert text in shown
    assert "prefers-color-scheme:dark" in picture
    assert "absent" not in picture
