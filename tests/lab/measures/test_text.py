from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from groundup.base.errors import DataError
from groundup.lab.measures.text import STRETCH, LabText, part_of, read_text
from tests.texts import text_file


@pytest.fixture
def text(tmp_path: Path) -> LabText:
    return read_text(str(text_file(tmp_path, 2000)))


def ids(text: LabText) -> list[int]:
    split = text.splits[0]
    return list(map(int, split.read(0, split.n_tokens)))


def test_a_part_is_made_of_stretches_of_the_text(text: LabText) -> None:
    part = part_of(text, 5000, seed=1)
    assert len(ids(part)) == 5000
    places = [i * STRETCH for i in range(len(ids(text)) // STRETCH)]
    stretches = [ids(text)[place : place + STRETCH] for place in places]
    found = [stretches.index(ids(part)[i : i + STRETCH]) for i in range(0, 4096, STRETCH)]
    assert found == sorted(set(found))
    assert part.splits[1] is text.splits[1]
    assert part.splits[0].n_bytes == 5000


def test_the_seed_draws_the_part(text: LabText) -> None:
    assert ids(part_of(text, 3000, 1)) == ids(part_of(text, 3000, 1))
    assert ids(part_of(text, 3000, 1)) != ids(part_of(text, 3000, 2))


def test_a_part_of_all_stretches_is_the_text(text: LabText) -> None:
    whole = len(ids(text)) // STRETCH * STRETCH
    assert np.array_equal(ids(part_of(text, whole, 1)), ids(text)[:whole])
    with pytest.raises(DataError, match="give a longer text"):
        part_of(text, whole + 1, 1)
