"""A hunt for files that harm: what reads them, in a process of its own, watched.

    python -m tests.faults.hunt FOLDER mutations COUNT [TARGET [SEED]]
    python -m tests.faults.hunt FOLDER large
    python -m tests.faults.hunt FOLDER pickles

makes genuine files in FOLDER, reads what became of them, and prints a JSON object a line: what was
read, how often it was refused, and what went wrong, with the seed that repeats it.
"""

from __future__ import annotations

import faulthandler
import json
import pickle
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from groundup.base.errors import GroundupError
from groundup.tokenizer.trial import PROGRAM
from tests.faults.mutate import mutated
from tests.faults.pickles import BOMB, planted, verbs
from tests.faults.targets import Target, genuine

SECONDS = 1.0
"""Of processor time that a reader may take."""
STUCK = 60
"""Seconds after which the process gives up, showing where it was."""
ALLOWANCE = 32 << 20
"""Bytes that a reader may need beside a multiple of the size of what it reads."""
LARGE = 8 << 20
LONGEST_MESSAGE = 4000
PEAK, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
CODE = ("pickle.find_class", "marshal.loads", "marshal.load", "code.__new__", "exec", "compile",
        "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn",
        "subprocess.Popen", "ctypes.dlopen", "socket.connect", "socket.bind")  # fmt: skip

CONTROL = "control", lambda: pickle.loads(pickle.dumps(json.dumps))
"""Harmless, and to be noticed all the same."""

executed: list[str] = []
"""Events by which something of a file could come to life."""


def watch() -> None:
    """Note from now on whatever is executed, but for modules that are imported."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        ours = _is_trial(event, arguments) or _is_own_library(event, arguments)
        if event in CODE and not _importing() and not ours:
            executed.append(f"{event} {str(arguments)[:200]}")

    sys.addaudithook(hook)


def _is_trial(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether this starts our own program that tries a tokenizer, apart and with limits."""
    return event == "subprocess.Popen" and str(PROGRAM) in arguments[1][:3]


def _is_own_library(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether this asks for the process's own C library, which is told to give memory back."""
    return event == "ctypes.dlopen" and arguments[0] is None


def _importing() -> bool:
    frame = sys._getframe(2)
    while frame.f_back:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def memory(field: str) -> int:
    """Return a line of this process's status in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10


def judged(use: Callable[[], object], size: int, growth: int = 2) -> tuple[bool, str | None]:
    """Tell whether `use` refuses a file of `size` bytes, and what is wrong with how it takes it."""
    faulthandler.dump_traceback_later(STUCK, exit=True)
    PEAK.write_text("5")  # the highest so far is forgotten
    held, begun = memory("VmRSS"), time.process_time()
    said = ""
    try:
        use()
    except GroundupError as error:
        said = str(error)
    except BaseException as error:
        return True, f"{type(error).__name__}: {str(error)[:300]!a}"
    seconds, grown = time.process_time() - begun, memory("VmHWM") - held
    faulthandler.cancel_dump_traceback_later()
    problem = None
    if executed:
        problem = f"executed {executed.pop()}"
        executed.clear()
    elif seconds > SECONDS:
        problem = f"took {seconds:.1f} s"
    elif grown > growth * size + ALLOWANCE:
        problem = f"took {grown >> 20} MiB for a file of {size:,} bytes"
    elif len(said) > LONGEST_MESSAGE or not said.isprintable():
        problem = f"a message of {len(said)} characters: {said[:300]!a}"
    return said != "", problem


def fairly(use: Callable[[], object], size: int, growth: int) -> tuple[bool, str | None]:
    """Judge twice what took too much: the machine may have been busy with itself, but not again."""
    refused, problem = judged(use, size, growth)
    if problem and problem.startswith("took"):
        return judged(use, size, growth)
    return refused, problem


def hunt(name: str, target: Target, inputs: Iterator[tuple[str, bytes]], now: Path) -> str:
    """Read the target with each of the contents; return the line that tells of it."""
    beside = {path: path.read_bytes() for path in target.file.parent.iterdir() if path.is_file()}
    problems: dict[str, str] = {}
    begun, n_inputs, n_refused = time.process_time(), 0, 0
    for label, data in inputs:
        now.write_text(f"{name} {label}")
        target.file.write_bytes(data)
        found = [fairly(use, len(data), target.growth) for use in target.uses(target.file)]
        n_inputs += 1
        n_refused += any(refused for refused, _ in found)
        for number, (_, problem) in enumerate(found):
            if problem:
                problems.setdefault(label, f"use {number}: {problem}")
        for path, content in beside.items():
            if path.read_bytes() != content:
                path.write_bytes(content)
    seconds = round(time.process_time() - begun, 2)
    return json.dumps({"target": name, "inputs": n_inputs, "refused": n_refused,
                       "seconds": seconds, "problems": problems})  # fmt: skip


def told(label: str, use: Callable[[], object]) -> str:
    """Return the line that tells whether `use` was refused, and what it executed."""
    refused = False
    try:
        use()
    except GroundupError:
        refused = True
    problems = {label: f"executed {', '.join(executed)}"} if executed else {}
    executed.clear()
    return json.dumps({"target": label, "refused": int(refused), "problems": problems})


def mutations(name: str, target: Target, seeds: range) -> Iterator[tuple[str, bytes]]:
    """Yield the genuine file of a target with the mutation of each seed."""
    good = target.file.read_bytes()
    for seed in seeds:
        yield str(seed), mutated(good, target.form, random.Random(f"{name} {seed}"))


def large_ones(target: Target) -> Iterator[tuple[str, bytes]]:
    """Yield contents that are large, and may become larger."""
    good = target.file.read_bytes()
    contents = {
        "brackets": b"[" * LARGE,
        "objects": b'{"a":' * (LARGE // 5),
        "lists": b'{"a":[' + b"[]," * (LARGE // 3) + b"[]]}",
        "numbers": b'{"a":[' + b"0," * (LARGE // 2) + b"0]}",
        "digits": b'{"a":' + b"9" * LARGE + b"}",
        "text": b'{"a":"' + b"x" * LARGE + b'"}',
        "escapes": b'{"a":"' + b"\\n" * (LARGE // 2) + b'"}',
        "halves": b'{"a":"' + b"\\ud800" * (LARGE // 6) + b'"}',
        "keys": b"{" + b",".join(b'"%07d":0' % i for i in range(LARGE // 12)) + b"}",
        "lines": b"a=1\n" * (LARGE // 4),
        "tables": b"".join(b"[t%d]\n" % i for i in range(LARGE // 10)),
        "dots": b"a." * (LARGE // 2) + b"a=1",
        "strings": b"a=[" + b'"x.txt",\n' * (LARGE // 9) + b"]",
        "spaces": good + b" " * LARGE,
        "newlines": good + b"\n" * LARGE,
        "0xff": b"\xff" * LARGE,
        "zeros": good + bytes(LARGE),
    }
    for label, content in contents.items():
        if target.form == "safetensors":
            content = len(content).to_bytes(8, "little") + content
        if target.form != "lines" or label != "newlines":  # eight million records, one by one
            yield label, content


def main(folder: Path, mode: str, count: str = "0", wanted: str = "", seed: str = "") -> None:
    torch.set_num_threads(1)
    targets = genuine(folder)
    if mode == "pickles":
        for _, use in verbs(folder, "before"):
            use()  # whatever is imported late is imported now
    for name, target in targets.items():
        for use in target.uses(target.file):
            try:
                use()
            except Exception as error:
                raise AssertionError(f"{name}: a genuine file is refused") from error
    watch()
    total = sum(target.weight for target in targets.values())
    for name, target in targets.items():
        n = -(-int(count) * target.weight // total)
        seeds = range(int(seed), int(seed) + 1) if seed else range(n)
        kinds: dict[str, Callable[[], Iterator[tuple[str, bytes]]]]
        kinds = {
            "mutations": partial(mutations, name, target, seeds),
            "large": partial(large_ones, target),
            "pickles": lambda: iter([("pickle", BOMB)]),
        }
        inputs = kinds[mode]()
        if wanted in ("", name):
            print(hunt(name, target, inputs, folder / "now"), flush=True)
    if mode == "pickles":
        for label, use in [*planted(folder), *verbs(folder, "after"), CONTROL]:
            print(told(label, use), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
