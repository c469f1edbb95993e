"""Models of `transformers`, saved once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from groundup import GPT
from groundup.weights.hf import read_hf
from groundup.weights.pretrained import Pretrained
from tests.weights.hf.models import MODELS, filled, saved


class Pair(NamedTuple):
    """A model of theirs, the folder it was saved in, what we read of it, and our model."""

    theirs: Any  # a model of transformers, whose `generate` it does not type
    folder: Path
    found: Pretrained
    ours: GPT


@pytest.fixture(scope="module", params=MODELS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp(request.param)
    theirs = saved(request.param, folder)
    found = read_hf(folder)
    return Pair(theirs, folder, found, filled(found))
