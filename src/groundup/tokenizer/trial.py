"""Trying a tokenizer.json of somebody's before it is used, once, in a process of its own.

The `tokenizers` library runs what the file says: it may take hours or gigabytes, and end the whole
program. What cannot be told from the rules alone is tried where it can do no harm, and what came
out well is remembered by its hash, in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from groundup.base.children import run_python, safe_environment
from groundup.base.errors import GroundupError, TokenizerError, shown
from groundup.base.files import cache_folder, temporary_file, write_text

PROGRAM = Path(__file__).with_name("trial_process.py")

LOADING, LOADING_MIB = 2.0, 0.4
"""Seconds of processor time to load a file, and for each MiB; a usual one takes a third of it."""
TRYING = 1.5
"""Seconds of processor time to encode what its rules speak of, and as many to decode."""
MEMORY, MEMORY_PER_BYTE = 512 << 20, 40
"""Bytes of address space; a file of 33 MiB takes some 700 MiB."""
TRIED = "tried by itself, it does not come to an end"
TIMEOUT = 60.0
"""Seconds to wait; on a busy machine the start alone may take many."""

_tried: set[str] = set()


def try_once(text: str) -> None:
    """Try the text of a tokenizer.json, unless it was tried before; harm is a TokenizerError."""
    digest = _digest(text)
    record = cache_folder() / "tokenizers" / digest
    if digest in _tried or record.exists():
        return
    if harm := _harm(text.encode("utf-8")):
        raise TokenizerError(shown(harm, 200))
    _tried.add(digest)
    with suppress(GroundupError):  # then it is tried again the next time
        write_text(record, "")


def _digest(text: str) -> str:
    import tokenizers

    made_by = f"{tokenizers.__version__}\n{PROGRAM.read_text('utf-8')}"
    content = hashlib.sha256(made_by.encode())
    content.update(text.encode("utf-8"))
    return content.hexdigest()


def _harm(content: bytes) -> str | None:
    """Return what harm a tokenizer.json did to the process that tried it."""
    seconds = LOADING + LOADING_MIB * len(content) / (1 << 20)
    memory = MEMORY + MEMORY_PER_BYTE * len(content)
    with temporary_file() as given:
        given.write(content)
        given.seek(0)
        try:
            done = _run(given, seconds, memory)
        except subprocess.TimeoutExpired:
            return f"{TRIED} in {TIMEOUT:.0f} s (if the machine is busy, retry)"
    if done.returncode == -getattr(signal, "SIGPROF", 0):
        return TRIED
    if "memory allocation" in done.stderr:
        return "it takes too much memory"
    if done.returncode:
        return f"the tokenizers library broke down when it was tried (exit {done.returncode})"
    return done.stdout.partition("\n")[0] or None


def _run(given: Any, seconds: float, memory: int) -> subprocess.CompletedProcess[str]:
    # Threads of the library would each take address space, and its backtraces time.
    quiet = {"TOKENIZERS_PARALLELISM": "false", "RUST_BACKTRACE": "0", "MALLOC_ARENA_MAX": "1"}
    return run_python(
        str(PROGRAM), str(seconds), str(TRYING), str(memory),
        stdin=given, timeout=TIMEOUT, encoding="utf-8", errors="replace",
        env=safe_environment() | quiet,
    )  # fmt: skip
