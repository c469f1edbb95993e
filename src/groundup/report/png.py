"""Drawings as PNG, in light colours, by the extra `png`."""

from __future__ import annotations

import re
from functools import lru_cache
from types import ModuleType

from groundup.base.errors import UsageError
from groundup.report.style import COLOURS, FONTS, LIGHT

ZOOM = 2.0
"""Pixels to a unit of the drawing: sharp on paper and on fine screens."""
TRIAL = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">{}</svg>'
LETTERS = f'<text x="4" y="30" font-family="{FONTS}" font-size="30">M</text>'


def png(svg: str, zoom: float = ZOOM) -> bytes:
    """Return a file that `drawing` wrote as PNG, `zoom` pixels to each of its units.

    Raises what `require_png` raises.
    """
    renderer = require_png()
    plain = re.sub(r"var\(--([\w-]+)\)", lambda found: LIGHT[found[1]], svg.replace(COLOURS, ""))
    return bytes(renderer.svg_to_bytes(svg_string=plain, zoom=zoom))


@lru_cache(maxsize=1)
def require_png() -> ModuleType:
    """Return the package that draws PNG; ask before long work whose figures it is to draw.

    Raises `UsageError` where it is not installed, or where the machine has no font for it: letters
    would be missing without a word.
    """
    try:
        import resvg_py
    except ModuleNotFoundError as error:
        raise UsageError(
            "a PNG needs the package resvg-py, which is not installed; run: "
            "pip install 'groundup[png]', or take the SVG"
        ) from error
    empty, written = (
        resvg_py.svg_to_bytes(svg_string=TRIAL.format(inside)) for inside in ("", LETTERS)
    )
    if empty == written:
        raise UsageError(
            "a PNG needs a font, and this machine has none that is known; install one, such as "
            "DejaVu Sans (Debian: apt install fonts-dejavu-core), or take the SVG"
        )
    return resvg_py
