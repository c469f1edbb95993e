"""Output that fails, and text that must not steer a terminal."""

from __future__ import annotations

import io
import os

from groundup.base.output import (
    UNENCODABLE,
    fail_safe,
    harmless,
    harmless_line,
    screened,
    unscreened,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_no_control_character_reaches_a_terminal() -> None:
    every = "".join(map(chr, range(0x250)))
    shown = harmless(every)
    assert len(shown) == len(every)
    steering = {*range(32), 127, *range(128, 160)} - {ord("\n"), ord("\t")}
    assert not steering & set(map(ord, shown))
    assert all(a == b for a, b in zip(every, shown, strict=True) if ord(a) not in steering)
    assert harmless("\x1b[31m\r\x07") == "␛[31m␍␇"
    assert harmless_line("a\nFinished") == "a␊Finished"


def test_no_text_shows_what_follows_in_another_order() -> None:
    turns = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    assert harmless(f"story{turns}txt") == "story" + len(turns) * "\ufffd" + "txt"
    family = "\U0001f469\u200d\U0001f467 می\u200cخواهم \u200f"  # joined, or of its script
    assert harmless(family) == family


def test_what_is_data_is_as_it_is_in_a_file_and_harmless_at_a_terminal() -> None:
    for file, always, expected in (
        (io.StringIO(), False, "\x1b[2J"),
        (io.StringIO(), True, "␛[2J"),
        (Terminal(), False, "␛[2J"),
    ):
        assert screened(file, always=always).write("\x1b[2J") == 4
        assert file.getvalue() == expected
        assert unscreened(screened(file)) is unscreened(file) is file


def test_a_name_that_is_not_utf_8_is_shown_and_its_bytes_are_data() -> None:
    name = os.fsdecode(b"x\xff\x9b.txt")
    assert harmless(name) == "x\\xff\\x9b.txt"
    assert harmless("\ud800") == "\ufffd"
    assert name.encode("utf-8", UNENCODABLE) == b"x\xff\x9b.txt"
    assert "é\ud800".encode("ascii", UNENCODABLE) == b"??"


def test_a_file_that_fails_says_so_once_and_writing_goes_on() -> None:
    told: list[OSError] = []
    file = fail_safe(Full(), told.append)
    for text in ("a", "b"):
        assert file.write(text) == 1
        file.flush()
    assert [error.strerror for error in told] == ["No space left on device"]
    good = io.StringIO()
    fail_safe(good, told.append).write("a")
    assert good.getvalue() == "a"
    assert len(told) == 1
