"""Tables at terminals of several widths, and piped."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from groundup.cli.printing import print_rows

COLUMNS = ["run", "state", "step", "note"]
ROWS = [
    ["story-pico", "finished", "1,200 of 1,200", "the last tenth of the text validates it"],
    ["letters", "interrupted", "60 of 1,000", "one [bold]word[/bold]"],
]


@pytest.fixture
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as at a terminal
    monkeypatch.setenv("TERM", "xterm")
    return int(request.param)


def printed(capsys: pytest.CaptureFixture[str], dispensable: Sequence[str] = ()) -> list[str]:
    print_rows("", COLUMNS, ROWS, dispensable=dispensable)
    return plain_lines(capsys)


def plain_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    plain = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    return [line.rstrip() for line in plain.splitlines()]


def test_piped_a_row_is_a_line_however_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = printed(capsys, dispensable=["note"])
    assert len(lines) == 3
    assert all(cell in line for line, row in zip(lines[1:], ROWS, strict=True) for cell in row)


def test_piped_a_table_of_sentences_keeps_to_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_rows("", COLUMNS, ROWS, to_read=True)
    lines = plain_lines(capsys)
    assert max(map(len, lines)) <= 60
    assert len(lines) > 3


@pytest.mark.parametrize("width", [100, 80, 60], indirect=True)
def test_columns_stay_aligned_and_words_whole(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys)
    assert max(map(len, lines)) <= width
    at = lines[0].index("note")
    assert all(line[at - 2 : at] in ("  ", "") for line in lines)
    assert " ".join(line[at:] for line in lines if line[at:]).split() == [
        "note", *" ".join(row[3] for row in ROWS).split()
    ]  # fmt: skip


@pytest.mark.parametrize("width", [60], indirect=True)
def test_a_hash_is_broken_and_whole(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    digest = "0123456789abcdef" * 4
    print_rows("", ["key", "a", "b"], [["hash", digest, "none"]])
    lines = plain_lines(capsys)
    assert max(map(len, lines)) <= width
    assert "".join(line[5:].split()[0] for line in lines[1:]) == digest


@pytest.mark.parametrize("width", [50], indirect=True)
def test_a_dispensable_column_is_left_out_and_named(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, dispensable=["note"])
    assert lines[0].split() == ["run", "state", "step"]
    assert lines[-1] == "No room here for: note"


@pytest.mark.parametrize("width", [30, 40], indirect=True)
def test_without_room_each_row_is_a_heading_with_its_figures(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys)
    assert max(map(len, lines)) <= width
    assert lines[0] == "story-pico"
    assert "  state  finished" in lines
    assert "  step   60 of 1,000" in lines
    assert "tenth of the text" in " ".join(" ".join(lines).split())
