"""Output that fails, and text that must not steer a terminal."""

from __future__ import annotations

import io

from groundup.base.output import fail_safe, harmless


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_no_control_character_reaches_a_terminal() -> None:
    every = "".join(map(chr, range(0x250)))
    shown = harmless(every, Terminal())
    assert len(shown) == len(every)
    steering = {*range(32), 127, *range(128, 160)} - {ord("\n"), ord("\t")}
    assert not steering & set(map(ord, shown))
    assert all(a == b for a, b in zip(every, shown, strict=True) if ord(a) not in steering)
    assert harmless("\x1b[31m\r\x07", Terminal()) == "␛[31m␍␇"
    assert harmless(every, io.StringIO()) == every


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
