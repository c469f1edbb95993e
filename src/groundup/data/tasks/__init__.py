"""Short tasks whose answers can be checked: ten kinds, made from a seed, to train and to test."""

from groundup.data.tasks.checker import CASE_MATTERS, is_right, normalised
from groundup.data.tasks.draws import TEST, TRAIN
from groundup.data.tasks.generator import PER_KIND, Task, make_tasks, named_kinds, task_records
from groundup.data.tasks.kinds import KINDS, Kind

__all__ = [
    "CASE_MATTERS",
    "KINDS",
    "PER_KIND",
    "TEST",
    "TRAIN",
    "Kind",
    "Task",
    "is_right",
    "make_tasks",
    "named_kinds",
    "normalised",
    "task_records",
]
