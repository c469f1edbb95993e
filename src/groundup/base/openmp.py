"""How the threads that share a matrix product wait for each other."""

from __future__ import annotations

import os

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""What tells GNU's OpenMP library, which PyTorch's packages for Linux bring, how to wait."""
SPINS = "3000"
"""Turns of waiting before a thread sleeps: some ten microseconds, where 300,000 turns are usual."""


def wait_briefly() -> None:
    """Let a thread that waits for others sleep soon, unless the user has said how to wait.

    Left to itself it keeps its core busy, for as long as the others have lost theirs to another
    program. The library reads this when PyTorch is imported, not later.
    """
    if not any(name in os.environ for name in POLICIES):
        os.environ["GOMP_SPINCOUNT"] = SPINS
