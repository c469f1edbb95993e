"""Numbers as people write them."""

from __future__ import annotations

import re
from random import Random

import pytest

from groundup.plan.units import about, duration, mib, number, passes, size


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [(0, "0 bytes"), (1, "1 byte"), (812, "812 bytes"), (999.6, "1.0 kB"), (16_500, "16.5 kB"),
     (999_949, "999.9 kB"), (999_960, "1.0 MB"), (4_970_000, "5.0 MB"), (12e9, "12.0 GB")],
)  # fmt: skip
def test_sizes(n_bytes: float, words: str) -> None:
    assert size(n_bytes) == words


def test_memory() -> None:
    assert [mib(n) for n in (0, 10_035, 800_000, 652_038_144)] == [
        *("0.00 MiB", "9.80 KiB", "0.76 MiB", "621.83 MiB"),
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.000384, "0.00038"), (0.53, "0.53"), (1.0, "1"), (1.04, "1"), (2.73, "2.7"),
     (9.96, "10"), (110.3, "110"), (1103.0, "1,103")],
)  # fmt: skip
def test_ratios(value: float, words: str) -> None:
    assert about(value) == words


def test_passes() -> None:
    assert [passes(v) for v in (0.53, 1.01, 110.3)] == [
        *("0.53 passes over the text", "1 pass over the text", "110 passes over the text"),
    ]


def test_nothing_has_an_exponent_or_is_zero_unless_it_is() -> None:
    pick = Random(1)
    for _ in range(2000):
        value = 10 ** pick.uniform(-9, 20)
        for write in (about, number, size, mib, duration):
            if value > 1e-3 or write is about:
                assert not re.search(r"\de[+-]?\d", write(value)), (write, value)
        assert float(about(value).replace(",", "")) > 0
