"""Everything that determines a training run besides the model's shape and the text."""

from __future__ import annotations

from dataclasses import dataclass

from groundup.config.adaptation import Adaptation
from groundup.config.compute import Compute
from groundup.config.fields import by_name, require
from groundup.config.keeping import Keeping, Safeguards
from groundup.config.recipe import Recipe


# A dataclass has the fields of its last base first.
@by_name
@dataclass(frozen=True, kw_only=True)
class TrainConfig(Compute, Safeguards, Keeping, Adaptation, Recipe):
    """The settings of a training run; "auto" and None are decided once and written down.

    Raises `ConfigError`, one line naming the field, for a value that makes no sense.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        shards, total = self.exact_shards, self.sequences_per_step
        fits = shards & (shards - 1) == 0 and (shards == 0 or total % shards == 0)
        require(fits, "exact_shards", shards, f"a power of two that divides {total} sequences")
        fits = self.shard != "on" or not self.adapts
        require(fits, "shard", self.shard, f"off or auto with method = {self.method}")
