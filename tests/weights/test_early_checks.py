"""What is refused before torch is loaded is what the formats know."""

from __future__ import annotations

from groundup.weights.early_checks import DTYPES
from groundup.weights.formats import DTYPES as PLAIN
from groundup.weights.formats import FORMATS
from groundup.weights.gguf import KINDS


def test_every_format_knows_its_number_formats() -> None:
    assert list(DTYPES) == list(FORMATS)
    assert set(DTYPES["gguf"]) == set(KINDS)
    assert set(DTYPES["hf"]) == set(DTYPES["safetensors"]) == set(PLAIN)
