"""What a run says when its memory runs out: what was planned, what was seen, what needs less."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice

import torch

from groundup.base.errors import GroundupError
from groundup.device.machine import peak_memory_mib
from groundup.plan import Plan
from groundup.plan.plan import remedies
from groundup.plan.units import MIB


class OutOfMemory(GroundupError):  # noqa: N818 - the name that everybody knows it by
    """Memory that ran out while training."""

    exit_status = 3


@contextlib.contextmanager
def explained(plan: Plan, device: torch.device) -> Iterator[None]:
    """Raise `OutOfMemory`, with what can be done, for any error that tells of memory run out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        raise OutOfMemory(advice(plan, peak_memory_mib(device))) from error


def is_shortage(error: BaseException) -> bool:
    """Tell whether an error is about memory: on CPUs PyTorch has only words for it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def advice(plan: Plan, seen_mib: float) -> str:
    """Return one line: the plan's sum, what was seen, and three changes that need less."""
    fixes = [f"--set {fix} ({size / MIB:,.0f} MiB)" for fix, size in islice(remedies(plan), 3)]
    needed = plan.memory["total"] / MIB
    return (
        f"out of memory: planned {needed:,.0f} MiB, {seen_mib:,.0f} MiB were taken at most; the "
        "last checkpoint stands; what needs less, the cheapest first: " + ", then ".join(fixes)
    )
