"""This process and the others that a launcher has started, if it has: they meet and share work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from groundup.config import TrainConfig
from groundup.processes.alone import ALONE, Alone
from groundup.processes.exact import Exact
from groundup.processes.launch import place


@contextlib.contextmanager
def joined(timeout: float, notice: Callable[[str], None]) -> Iterator[Alone]:
    """Yield what this process is among those that a launcher has started, if it has."""
    if (own := place()) is None:
        yield ALONE
        return
    from groundup.processes import distributed  # a second of imports

    with distributed.joined(own, timeout, notice) as ranks:
        yield ranks


def arranged(ranks: Alone, config: TrainConfig, device: torch.device) -> Alone:
    """Return the processes, or the only one, working together as the settings say."""
    if ranks.size == 1:
        return Exact() if config.exact == "on" else ranks
    from groundup.processes.distributed import arrange

    return arrange(ranks, config, device)
