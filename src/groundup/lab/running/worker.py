"""A process that measures cells: it reads which on standard input and tells on standard output.

It has one thread, and ends when its parent does: a second thread waits for the end of the input,
which the system closes whatever the parent dies of.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from typing import Any

from groundup.base.errors import GroundupError
from groundup.base.parse import parse_json
from groundup.lab.running.failures import reason


def main() -> None:
    """Answer each line of input with one of output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a measurement prints is no answer
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    work: Any = None
    while True:
        asked = parse_json(lines.get())
        if "reference" in asked:
            try:
                work = _work(**asked)
            except Exception as error:
                work = error  # and the answer to whatever is asked
            continue
        out.write(json.dumps(answer(work, **asked), allow_nan=False) + "\n")
        out.flush()


def answer(work: Any, **asked: Any) -> dict[str, Any]:
    """Return what a cell measured, as plain values, or what went wrong."""
    from groundup.lab.running.values import plain

    try:
        if isinstance(work, Exception):
            raise work
        values, seconds = work.measure(**asked)
        return {"values": plain(values), "seconds": seconds}
    except (Exception, SystemExit) as error:
        return _explained(error)


def _listen(lines: queue.Queue[bytes]) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


def _work(reference: str, scale: float, text: str, fingerprint: str) -> Any:
    from groundup.lab.measures.text import read_text
    from groundup.lab.running.source import find_source
    from groundup.lab.running.tasks import Work

    one_thread()
    found = read_text(text)
    if found.fingerprint != fingerprint:
        raise GroundupError(f"{text}: it has changed while it was read; run the command again")
    return Work(find_source(reference), scale, found)


def one_thread() -> None:
    """Compute with one thread, and take subnormal numbers for zero, which they nearly are.

    Where activations fade, as without shortcuts, most become subnormal, and each of them is slow.
    """
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _explained(error: BaseException) -> dict[str, Any]:
    known = isinstance(error, GroundupError)
    return {
        "error": str(error) if known else reason(error),
        "status": error.exit_status if isinstance(error, GroundupError) else 1,
        "traceback": traceback.format_exc(),
    }


if __name__ == "__main__":
    main()
