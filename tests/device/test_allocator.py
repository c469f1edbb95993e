"""Freed memory is kept by a process that asks for it, and given back by one that asks for that."""

from __future__ import annotations

import subprocess
import sys

import pytest

from groundup.device.allocator import can_keep_freed_memory

RESIDENT = """
import groundup.train
import sys
import torch
from groundup.device.allocator import give_back, keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
if sys.argv[1] != "leave":
    assert keep_freed_memory()
block = torch.ones(50 << 20)
block = None
if sys.argv[1] == "give back":
    assert give_back()
print(resident() >> 20)
"""


@pytest.mark.skipif(not can_keep_freed_memory(), reason="glibc only")
def test_freed_memory_stays_only_where_it_was_asked_for() -> None:
    kept, freed, given_back = (
        int(subprocess.check_output([sys.executable, "-c", RESIDENT, way]))
        for way in ("keep", "leave", "give back")
    )
    assert kept - freed > 190  # MiB, of a freed block of 200
    assert kept - given_back > 190


HOLES = """
import groundup.train
import sys
import torch
from groundup.device.allocator import release_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
if sys.argv[1] == "release":
    assert release_freed_memory()
block = torch.ones(4 << 20)
block = None
blocks = [torch.ones(1 << 18) for _ in range(200)]
del blocks[:-1]
print(resident() >> 20)
"""


@pytest.mark.skipif(not can_keep_freed_memory(), reason="glibc only")
def test_freed_blocks_below_one_that_is_held_go_back_where_it_was_asked_for() -> None:
    released, left = (
        int(subprocess.check_output([sys.executable, "-c", HOLES, way]))
        for way in ("release", "leave")
    )
    assert left - released > 150  # MiB, of 199
