"""A family of models: how its config.json and its tensors correspond to ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.base.errors import ConfigError, RunError
from groundup.config import GPTConfig, build
from groundup.runs.tensor_file import Stored
from groundup.weights.folds import Folds, folded
from groundup.weights.hf.aspects import Aspect
from groundup.weights.hf.settings import Fields, Settings
from groundup.weights.tensor_names import Names


@dataclass(frozen=True, kw_only=True)
class Family:
    """Models that differ in numbers only: their class, their names, and what their config says.

    `defaults` are what `transformers` takes for a key that a config.json leaves out. `folds` are
    the numbers that all parameters of a module of ours are multiplied by, which their model
    multiplies by each time; what goes out has them in its weights.
    """

    architecture: str
    classifier: str | None
    """The class with a head that scores labels, where there is one."""
    names: Names
    defaults: Mapping[str, Any]
    aspects: tuple[Aspect, ...]
    folds: Callable[[Settings, GPTConfig], Folds] | None = None

    def read(
        self, values: Mapping[str, Any], source: Path, context: int | None = None
    ) -> GPTConfig:
        """Return our config for a config.json; what it cannot express is a one-line `RunError`.

        `context` is the one that is wanted, where longrope leaves the choice.
        """
        settings = Settings(values, self.defaults, source, context)
        _check_common(settings)
        fields: Fields = {}
        for aspect in self.aspects:
            fields |= aspect.read(settings)
        try:
            return build(GPTConfig, fields)
        except ConfigError as error:
            raise RunError(f"{source}: {error}") from error

    def folded(
        self,
        values: Mapping[str, Any],
        source: Path,
        config: GPTConfig,
        tensors: Mapping[str, Stored],
    ) -> tuple[dict[str, Stored], list[str]]:
        """Return our tensors with their factors in them, and a notice of these."""
        if self.folds is None:
            return dict(tensors), []
        factors = self.folds(Settings(values, self.defaults, source), config)
        told = ", ".join(f"{name} x {factor:.6g}" for name, factor in factors.items())
        notice = f"{source}: factors that its config names are in the weights now: {told}"
        return folded(tensors, factors), [notice]

    def write(self, config: GPTConfig) -> Fields:
        """Return the config.json nearest to `config`; reading it again shows how near."""
        values: Fields = {}
        for aspect in self.aspects:
            values |= aspect.write(config)
        return values


def _check_common(settings: Settings) -> None:
    """Refuse what `transformers` does in any family where a config asks for it."""
    if not settings.values.get("is_causal", True):
        raise settings.refusal("is_causal", "true: here no token sees those after it")
    if settings["per_layer_config"]:
        raise settings.refusal("per_layer_config", "null: here all layers are of one shape")
