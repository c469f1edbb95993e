"""The families whose native classes in `transformers` compute what our model computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, shown
from groundup.weights.hf.families.gemma import GEMMAS
from groundup.weights.hf.families.gpt import GPTS
from groundup.weights.hf.families.llama import LLAMAS
from groundup.weights.hf.families.mixtures import MIXTURES
from groundup.weights.hf.family import Family

FAMILIES = {**GPTS, **LLAMAS, **GEMMAS, **MIXTURES}
"""By model_type. The first that can express a model is the class it is exported to."""


def family_of(values: Mapping[str, Any], source: Path) -> tuple[str, Family]:
    """Return the model_type of a config.json and its family; an unknown one is a `RunError`."""
    model_type = values.get("model_type")
    if isinstance(model_type, str) and model_type in FAMILIES:
        return model_type, FAMILIES[model_type]
    raise RunError(
        f"{source}: model_type = {shown(model_type)}: expected one of {', '.join(FAMILIES)}; a "
        "model of another architecture cannot be expressed here"
    )
