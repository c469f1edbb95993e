"""From results to the tables of docs/performance.md, in the order in which they stand there."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.tables import (
    busy,
    finetuning,
    generation,
    gpu,
    instructing,
    long_context,
    optimizers,
    recipe,
    safety,
    speedrun,
    startup,
    tokenizing,
    training,
)
from benchmarks.turns import Record

TABLES: dict[str, Callable[[Record], str]] = {
    "training": training.table,
    "training_long": training.long_table,
    "training_large": training.large_table,
    "speedrun": speedrun.table,
    "speedrun_long": speedrun.long_table,
    "busy": busy.table,
    "recipe": recipe.table,
    "optimizers": optimizers.table,
    "generation": generation.table,
    "long_context": long_context.table,
    "gpu": gpu.table,
    "startup": startup.table,
    "tokenizing": tokenizing.table,
    "safety": safety.table,
    "finetuning_table": finetuning.choices,
    "finetuning_sms": finetuning.sms,
    "finetuning_mail": finetuning.mail,
    "finetuning_speed": finetuning.speed,
    "finetuning_memory": finetuning.memory,
    "instructing_answers": instructing.answers,
    "instructing_reward": instructing.reward,
    "instructing_speed": instructing.speed,
    "instructing_memory": instructing.memory,
}
