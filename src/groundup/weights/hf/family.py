"""A family of models: how its config.json and its tensors correspond to ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.base.errors import ConfigError, RunError
from groundup.config import GPTConfig, build
from groundup.weights.hf.aspects import Aspect
from groundup.weights.hf.settings import Fields, Settings
from groundup.weights.tensor_names import Names


@dataclass(frozen=True, kw_only=True)
class Family:
    """Models that differ in numbers only: their class, their names, and what their config says.

    `defaults` are what `transformers` takes for a key that a config.json leaves out.
    """

    architecture: str
    classifier: str
    """The class with a head that scores labels."""
    names: Names
    defaults: Mapping[str, Any]
    aspects: tuple[Aspect, ...]

    def read(self, values: Mapping[str, Any], source: Path) -> GPTConfig:
        """Return our config for a config.json; what it cannot express is a one-line `RunError`."""
        settings = Settings(values, self.defaults, source)
        fields: Fields = {}
        for aspect in self.aspects:
            fields |= aspect.read(settings)
        try:
            return build(GPTConfig, fields)
        except ConfigError as error:
            raise RunError(f"{source}: {error}") from error

    def write(self, config: GPTConfig) -> Fields:
        """Return the config.json nearest to `config`; reading it again shows how near."""
        values: Fields = {}
        for aspect in self.aspects:
            values |= aspect.write(config)
        return values
