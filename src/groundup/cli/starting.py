"""How a verb imports torch, which is most of the time until it does anything."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """Import torch without a look for garbage, and never look through its modules later.

    They make some 300,000 objects, none of them garbage. Python would look through these again and
    again while they come, and twice when the process ends: for 0.3 of 1.1 s. Where torch is there
    already, as in a second verb of one process, this does nothing: what is garbage by then stays
    to be found.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
