"""A hunt for surprises: commands that are mutated, in folders that are damaged.

    python -m tests.faults.surprises FOLDER FIRST COUNT

makes runs, texts, records and models in FOLDER/given, where they are not there yet; then, for each
number from FIRST on, a forked process carries out a command in a copy of it, with words changed,
files damaged, or a system that refuses an operation. It prints a JSON object for each number that
surprises, and one that counts how all of them ended. A number always means the same.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import random
import re
import resource
import select
import shlex
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundup.base.output import harmless
from groundup.cli import app, main
from tests.faults.commands import GIVEN, REFUSING, Harm, words_of
from tests.texts import sentences

STATUSES = {0, 1, 2, 3, 4, 5, 130}
LONG = 15.0
"""Seconds of processor time until a command is interrupted; after twice as many it hangs."""
HANG, PAUSE = 30.0, 2.0
"""Seconds that a process may wait for nothing, and between two looks at it."""
UNNAMED = re.compile(r"groundup: (\.?|a file): (?!one word|No usable temp)")
"""Where a line names no file, though it is about one."""
MEMORY = 12 << 30


def make_given(folder: Path) -> None:
    """Fill `folder`; each command runs in a process of its own, so that this one may be forked."""
    folder.mkdir(parents=True)
    (folder / "texts").mkdir()
    (folder / "empty").mkdir()
    (folder / "story.txt").write_text(sentences(300))
    for number in range(3):
        (folder / f"texts/{number}.txt").write_text(sentences(100, number + 1))
    (folder / "odd").mkdir()
    shutil.copy(folder / "story.txt", folder / "odd" / os.fsdecode(b"x\xff.txt"))
    rows = "".join(f"{('ham', 'spam')[k % 2]},the {k} word {k % 2}\n" for k in range(40))
    (folder / "mail.csv").write_text(f"label,text\n{rows}")
    talks = [
        [{"role": "user", "content": f"Q {k}?"}, {"role": "assistant", "content": f"{k}."}]
        for k in range(40)
    ]
    lines = (json.dumps({"messages": talk}) for talk in talks)
    (folder / "talks.jsonl").write_text("\n".join(lines))
    pairs = ({"prompt": f"Q {k}?", "chosen": "yes", "rejected": "no"} for k in range(40))
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    (folder / "arms.toml").write_text('question = "?"\n[arms.a]\n[arms.b]\nnorm = "rmsnorm"\n')
    (folder / "link").symlink_to("runs/letters")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nothing")
    for name, command in GIVEN.items():
        done = carried_out(folder, shlex.split(command), random.Random(0), lambda r: None)
        assert done.get("status") == 0, f"{name}: {done}"


def carried_out(folder: Path, words: list[str], r: random.Random, prepare: Harm) -> dict[str, Any]:
    """Carry out a command in a forked process; return its status and what it printed.

    Where it did not end by itself, `ended` says how.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.close(ours)
        _carry_out(folder, words, r, prepare, theirs)
    os.close(theirs)
    try:
        return _heard(child, ours)
    finally:
        os.close(ours)


def _carry_out(
    folder: Path,
    words: list[str],
    r: random.Random,
    prepare: Harm,
    answer: int,
) -> None:
    """Do it, in the child; it never returns."""
    out, err = io.StringIO(), io.StringIO()
    status: Any = None
    try:
        os.setsid()
        os.chdir(folder)
        os.environ |= {"PIP_NO_INDEX": "1", "GROUNDUP_CACHE": str(folder.parent / "cache")}
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        prepare(r)
        sys.argv = ["groundup", *words]
        sys.stdin = io.TextIOWrapper(io.BytesIO(b"Hello\n/set temperature 0\nWell?\n"))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        status = end.code
    except BaseException as error:
        err.write(f"Traceback: {error!r}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        REFUSING.number = 0
        found = {"status": status, "out": out.getvalue()[-2000:], "err": err.getvalue()[-9000:]}
        os.write(answer, json.dumps(found).encode())
        os._exit(0)


def _heard(child: int, ours: int) -> dict[str, Any]:
    """Wait for what the child says, interrupt it where that takes long, and end it at last."""
    ended, raw, idle, before = "", b"", 0, -1.0
    while not select.select([ours], [], [], PAUSE)[0]:
        spent, works = _spent(child)
        idle = 0 if works or spent != before else idle + 1
        before = spent
        if spent > LONG and not ended:
            ended = "long"
            os.kill(child, signal.SIGINT)
        if spent > 2 * LONG or idle * PAUSE > HANG:
            break
    else:
        while part := os.read(ours, 1 << 16):
            raw += part
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not raw:
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL
        return {"ended": f"signal {os.WTERMSIG(status)}" if died else "hang"}
    found: dict[str, Any] = json.loads(raw)
    return found | ({"ended": ended} if ended else {})


def _spent(process: int) -> tuple[float, bool]:
    """Return a process's seconds of processor time, and whether it, or a child of it, has work."""
    try:
        state, *rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:  # it has ended
        return 0.0, True
    seconds = sum(map(int, rest[10:14])) / os.sysconf("SC_CLK_TCK")
    return seconds, state == "R" or bool(children)


def surprise(words: list[str], found: dict[str, Any]) -> str | None:
    """Return what is wrong with how a command ended."""
    if found.get("ended") not in (None, "long"):
        return str(found["ended"])
    err, status = found["err"], found["status"]
    last = err.splitlines()[-1] if err else ""
    if status not in STATUSES:
        return f"status {status}"
    if "groundup: unexpected" in err or "unexpected extra" in err:
        return "unexpected"
    if "Traceback" in err and "--debug" not in words:
        return "traceback"
    if status and "--debug" not in words and not last.startswith("groundup: "):
        return "no line"
    if UNNAMED.search(err) and not {"", "."} & set(words):
        return "nothing named"
    if err != harmless(err):
        return "control characters"
    return None


def numbered(given: Path, number: int) -> tuple[list[str], dict[str, Any]]:
    """Carry out the command of a number in a copy of what is given; return it and its end."""
    r = random.Random(f"command {number}")
    words, prepare = words_of(r)
    work = given.parent / "work"
    if work.exists():
        shutil.rmtree(work)
    shutil.copytree(given, work, symlinks=True)
    return words, carried_out(work, words, r, prepare)


def hunt(folder: Path, numbers: range) -> Iterator[dict[str, Any]]:
    """Yield each number that surprises, and at last how all of them ended."""
    given = folder / "given"
    if not given.exists():
        make_given(folder / "making")
        (folder / "making").rename(given)
    ends = Counter[str]()
    for number in numbers:
        (folder / "now").write_text(f"{number}\n")
        words, found = numbered(given, number)
        wrong = surprise(words, found)
        ends[wrong or found.get("ended") or f"status {found['status']}"] += 1
        if wrong:
            yield {"number": number, "wrong": wrong, "words": words, **found}
    yield {"first": numbers.start, "tried": len(numbers), "ends": dict(ends)}


def run(folder: Path, first: int, count: int) -> None:
    """Print what is found, a line each."""
    import torch

    torch.set_num_threads(1)
    for name in app.VERBS:  # once, and not in each process
        importlib.import_module(f"groundup.cli.{name}")
    for line in hunt(folder, range(first, first + count)):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]))
