"""What a model and a run are made of: frozen, validated, and written to TOML without loss."""

from groundup.config.adaptation import Adaptation, adapter_shapes
from groundup.config.compute import Compute
from groundup.config.fields import as_table, build, parse_assignments
from groundup.config.gpt import GPTConfig, foreign_parts, part_tables
from groundup.config.keeping import Keeping, Safeguards
from groundup.config.presets import PRESETS, preset
from groundup.config.recipe import Recipe
from groundup.config.shapes import PLACES, Parameter, parameter_shapes, part_of
from groundup.config.train import TrainConfig

__all__ = [
    "PLACES",
    "PRESETS",
    "Adaptation",
    "Compute",
    "GPTConfig",
    "Keeping",
    "Parameter",
    "Recipe",
    "Safeguards",
    "TrainConfig",
    "adapter_shapes",
    "as_table",
    "build",
    "foreign_parts",
    "parameter_shapes",
    "parse_assignments",
    "part_of",
    "part_tables",
    "preset",
]
