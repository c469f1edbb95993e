"""The C library's allocator, told to keep what is freed, or to give it back at once."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
"""Names and numbers of glibc's <malloc.h>; see mallopt(3)."""
TOP_PAD = 64 << 20
"""Bytes asked for beyond what is needed whenever the heap grows."""
LARGE = 1 << 18
"""Bytes from which `release_freed_memory` gives a block pages of its own."""


def can_keep_freed_memory() -> bool:
    """Return whether `keep_freed_memory` does something here: on Linux with glibc."""
    return platform.libc_ver()[0] == "glibc"


def keep_freed_memory() -> bool:
    """Let this process reuse freed memory instead of giving it back; return whether it does.

    Large blocks come from the heap instead of mmap, and the heap never shrinks. A training step
    frees and allocates the same gigabytes again: each page that went back to the system would be
    zeroed and faulted in anew. It holds until the process ends, so only a process of our own
    should ask for it, never an import.
    """
    if not can_keep_freed_memory():
        return False
    return _set((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, TOP_PAD))


def release_freed_memory() -> bool:
    """Let this process give large blocks back as soon as they are freed; return whether it does.

    Left to itself glibc soon takes blocks of up to 32 MiB from the heap, where those of unequal
    sizes leave holes: twice what is held, where activations are checkpointed. Page faults are the
    price.
    """
    return can_keep_freed_memory() and _set((M_MMAP_THRESHOLD, LARGE))


def give_back() -> bool:
    """Give all freed memory back to the system now; return whether there was a way to.

    For the end of what needed most, whatever the process does with freed memory otherwise.
    """
    if not can_keep_freed_memory():
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def _set(*settings: tuple[int, int]) -> bool:
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(name, value) == 1 for name, value in settings)
