"""A PNG shows what the drawing does, or says in a line what it needs."""

from __future__ import annotations

import struct
import sys
import zlib
from typing import Any

import pytest

from groundup.base.errors import UsageError
from groundup.report.charts import Chart, Series
from groundup.report.drawing import WIDTH, drawing
from groundup.report.png import png, require_png
from groundup.report.style import LIGHT

Rgb = tuple[int, int, int]


@pytest.fixture(autouse=True)
def anew() -> Any:
    require_png.cache_clear()
    yield
    require_png.cache_clear()


def colours(picture: bytes) -> tuple[int, dict[Rgb, int]]:
    """Return the width of an 8-bit RGBA PNG and how often each opaque colour occurs."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, width = 8, b"", 0
    while at < len(picture):
        size, kind = struct.unpack(">I4s", picture[at : at + 8])
        body = picture[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, _, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 6)
        data += body if kind == b"IDAT" else b""
        at += size + 12
    return width, _counted(zlib.decompress(data), width)


def _counted(raw: bytes, width: int) -> dict[Rgb, int]:
    """Undo the filters of the PNG specification, section 9, and count."""
    above, counts = bytes(4 * width), dict[Rgb, int]()
    for start in range(0, len(raw), 4 * width + 1):
        kind, line = raw[start], bytearray(raw[start + 1 : start + 1 + 4 * width])
        for i in range(4 * width):
            left, corner = (line[i - 4], above[i - 4]) if i >= 4 else (0, 0)
            line[i] = (line[i] + _predicted(kind, left, above[i], corner)) % 256
        above = bytes(line)
        for i in range(0, 4 * width, 4):
            pixel = (line[i], line[i + 1], line[i + 2])
            counts[pixel] = counts.get(pixel, 0) + (line[i + 3] == 255)
    return counts


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda v: abs(guess - v))
    return (0, left, up, (left + up) // 2)[kind]


def rgb(name: str) -> Rgb:
    return tuple(int(LIGHT[name][i : i + 2], 16) for i in (1, 3, 5))  # type: ignore[return-value]


def test_curve_ground_and_letters_are_there_in_light_colours() -> None:
    series = [Series(name="arm", points=[(0.0, 1.0), (1.0, 2.0)], colour=1)]
    width, counts = colours(png(drawing(Chart(title="Loss", series=series)), zoom=1))
    assert width == WIDTH
    assert counts[rgb("ground")] > 100_000
    assert counts[rgb("c1")] > 100
    assert counts[rgb("ink")] > 20
    assert rgb("c0") not in counts


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UsageError, match=r"run: pip install 'groundup\[png\]'"):
        png("<svg/>")


def test_without_a_font_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import resvg_py

    plain = resvg_py.svg_to_bytes

    def fontless(**options: Any) -> bytes:
        return plain(skip_system_fonts=True, **options)

    monkeypatch.setattr(resvg_py, "svg_to_bytes", fontless)
    with pytest.raises(UsageError, match="has none that is known; install one"):
        require_png()
