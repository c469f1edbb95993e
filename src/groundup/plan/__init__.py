"""How large a model is and what it takes to train and use it, by arithmetic, before any of it is.

Nothing here imports torch or numpy, so that `groundup plan` answers at once.
"""

from groundup.base.hardware import available_memory
from groundup.plan.calibration import Calibration, load_calibration, machine_fingerprint
from groundup.plan.classifier import Texts, classifier_flops_per_token, classifier_memory
from groundup.plan.count import BYTES, Count, block_parts, conventions, count_parameters
from groundup.plan.flops import (
    forward_flops_per_token,
    model_flops_utilisation,
    training_flops_per_token,
)
from groundup.plan.generation import cache_memory, generation_memory
from groundup.plan.memory import Memory, training_memory
from groundup.plan.packed import Packed, packed_memory
from groundup.plan.plan import Plan, check_fits, make_plan
from groundup.plan.speed import expected_step_seconds
from groundup.plan.tables import Table, plan_rows, plan_tables

__all__ = [
    "BYTES",
    "Calibration",
    "Count",
    "Memory",
    "Packed",
    "Plan",
    "Table",
    "Texts",
    "available_memory",
    "block_parts",
    "cache_memory",
    "check_fits",
    "classifier_flops_per_token",
    "classifier_memory",
    "conventions",
    "count_parameters",
    "expected_step_seconds",
    "forward_flops_per_token",
    "generation_memory",
    "load_calibration",
    "machine_fingerprint",
    "make_plan",
    "model_flops_utilisation",
    "packed_memory",
    "plan_rows",
    "plan_tables",
    "training_flops_per_token",
    "training_memory",
]
