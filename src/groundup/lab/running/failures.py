"""What goes wrong in the code that an experiment brings, as one line."""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

from groundup.base.errors import GroundupError, shown

LONGEST_REASON = 300


_PRINTING = threading.RLock()


@contextlib.contextmanager
def unprinted() -> Iterator[None]:
    """Send to standard error what is printed; by one thread at a time, as all have one output."""
    with _PRINTING, contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def called(what: str) -> Iterator[None]:
    """Call what an experiment brings: what it prints is no verdict, its failure is one line."""
    try:
        with unprinted():
            yield
    except GroundupError:
        raise
    except (Exception, SystemExit) as error:
        raise GroundupError(f"{what} failed: {reason(error)}; mend it") from error


def reason(error: BaseException) -> str:
    """Return what an error in the code of an experiment says, and where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    said = shown(" ".join(str(error).split()), LONGEST_REASON)
    return f"{type(error).__name__}: {said} ({Path(frame.filename).name}, line {frame.lineno})"
