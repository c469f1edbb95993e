"""Colours are seen on their ground, and curves told apart without colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest

from groundup.report.charts import COLOURS, Series
from groundup.report.style import DARK, LIGHT, MARKS

Rgb = Sequence[float]
SCHEMES = pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])


def rgb(colour: str) -> Rgb:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def luminance(colour: Rgb) -> float:
    """Relative luminance by WCAG 2.2."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour]
    return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: Rgb, b: Rgb) -> float:
    dark, light = sorted(map(luminance, (a, b)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast(rgb("#000000"), rgb("#ffffff")) == pytest.approx(21)
    assert contrast(rgb("#777777"), rgb("#ffffff")) == pytest.approx(4.48, abs=0.01)


@SCHEMES
def test_each_colour_is_seen_on_its_ground(scheme: Mapping[str, str]) -> None:
    ground = rgb(scheme["ground"])
    for i in range(COLOURS):
        assert contrast(rgb(scheme[f"c{i}"]), ground) >= 3
    for name in ("ink", "soft", "accent"):
        assert contrast(rgb(scheme[name]), ground) >= 4.5


def test_neighbours_differ_in_dash_and_in_the_shape_of_dots() -> None:
    arms = [Series(name=str(i), points=[(0, 0)], colour=i, dash=i) for i in range(8)]
    for a, b in pairwise(arms):
        assert a.css.split()[1] != b.css.split()[1]
        assert a.shape != b.shape
    assert all(f"path.d{i} {{ stroke-dasharray" in MARKS for i in (1, 2, 3))
