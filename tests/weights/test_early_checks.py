"""What is refused before torch is loaded is what the formats know."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup.base.errors import GroundupError, UsageError
from groundup.weights.early_checks import DTYPES, check_source
from groundup.weights.formats import DTYPES as PLAIN
from groundup.weights.formats import FORMATS, open_pretrained
from groundup.weights.gguf import KINDS


def test_every_format_knows_its_number_formats() -> None:
    assert list(DTYPES) == [*FORMATS, "peft"]  # which is for adapters alone
    assert set(DTYPES["gguf"]) == set(KINDS)
    assert set(DTYPES["hf"]) == set(DTYPES["safetensors"]) == set(PLAIN)


@pytest.mark.parametrize("name", ["owner/é", "owner/" + "b" * 97, "../model"])
def test_what_is_no_name_of_the_hub_is_refused_early(name: str) -> None:
    with pytest.raises(UsageError, match="no such file or folder; expected"):
        check_source(name)
    check_source("owner/model-1.0_b")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that cannot be read")
def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(GroundupError, match=r"^/proc/self/mem: Input/output error; the disk"):
        open_pretrained("/proc/self/mem", False)
