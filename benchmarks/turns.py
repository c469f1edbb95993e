"""Contestants take turns, each turn a fresh process: A B C, A B C, … so that all see one machine.

A round beside other programs that compute is thrown away and repeated, and counted. The parent
never imports torch: on Linux a child's ru_maxrss starts at what its parent held.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from groundup.base.files import write_json
from groundup.base.load import CoreWatch

ROOT = Path(__file__).resolve().parent.parent

OTHERS_AT_MOST = 0.5
"""Cores that others may use beside a turn: with two threads of a contestant, a load of 2.5."""
THROWN_AWAY_AT_MOST = 3
"""How often a round is repeated; the next one is kept, with the load that was beside it."""
WAIT = 60.0
"""Seconds to wait at most for a quiet machine before a round is repeated."""

Record = dict[str, Any]


def parse(**flags: str) -> argparse.Namespace:
    """Read the options that all benchmarks share, and flags of one with what they do."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--text", type=Path, help="tinyshakespeare.txt, for the Shakespeare part")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of karpathy/nanoGPT to run beside")
    parser.add_argument("--litgpt", type=Path, help="the python of an environment with litgpt")
    parser.add_argument("--model", type=Path, help="a run to talk with: start-up, writing")
    parser.add_argument("--llama", type=Path, help="that of one with llama-cpp-python")
    parser.add_argument("--speak-rounds", type=int, default=1, help="turns of who generates")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of every contestant")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contestant")
    parser.add_argument("--work", type=Path, help="keep turns there: the same command goes on")
    parser.add_argument("--steps", type=int, default=10, help="timed training steps in a turn")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: checks that it all runs")
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    for flag, does in flags.items():
        parser.add_argument(f"--{flag}", action="store_true", help=does)
    options = parser.parse_args()
    for name in ("text", "nanogpt", "litgpt", "llama", "model"):
        path = getattr(options, name)
        if path is not None and not path.exists():
            parser.error(f"--{name} {path}: no such path")
        setattr(options, name, path and path.absolute())  # an environment's python is a link
    if options.quick:
        take_any_load()
        options.rounds, options.steps = 1, 2
        options.out = options.out or Path(tempfile.mkdtemp(prefix="groundup-bench-"))
    return options


def take_any_load() -> None:
    """Throw no round away from now on: a trial is no measurement."""
    globals()["THROWN_AWAY_AT_MOST"] = 0


def environment(threads: int) -> dict[str, str]:
    """Return the environment of every contestant: this checkout, and so many threads."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    count = str(threads)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "TOKENIZERS_PARALLELISM": "false",
    }


def call(module: str, job: Record, threads: int, python: Path | None = None) -> Record:
    """Run `python -m module JOB` and return the JSON object that it prints last."""
    done = subprocess.run(
        [python or sys.executable, "-m", module, json.dumps(job)],
        env=environment(threads),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{module} {job}:\n{done.stderr}")
    record: Record = json.loads(done.stdout.splitlines()[-1])
    return record


def timed_process(command: list[str], cwd: Path, threads: int) -> Record:
    """Run a command to its end; return its wall time (s) and its peak memory (MiB)."""
    log = cwd / "log.txt"
    with log.open("wb") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(threads), stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{log.read_text()[-4000:]}")
    return {"wall_seconds": seconds, "peak_memory_mib": mib(usage.ru_maxrss)}


def mib(ru_maxrss: int) -> float:
    """Return what the kernel calls maxrss, which counts KiB (bytes on macOS), in MiB."""
    return ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def in_turns(
    contestants: Mapping[str, Callable[[int], Record]], rounds: int, kept: Path | None = None
) -> dict[str, list[Record]]:
    """Let everyone take turn after turn; return each one's records, a turn each.

    A record says how many cores `others` used, and how often its round was `thrown_away` before.
    Turns are kept in the folder `kept` as they come, and found there again.
    """
    records: dict[str, list[Record]] = {name: [] for name in contestants}
    for number in range(rounds):
        turns = {
            name: partial(_turn, f"round {number + 1}/{rounds}  {name}", turn, number,
                          kept and kept / f"{number + 1}-{name.replace('/', '-')}.json")
            for name, turn in contestants.items()
        }  # fmt: skip
        thrown_away = 0
        while (taken := _round(turns, thrown_away < THROWN_AWAY_AT_MOST)) is None:
            thrown_away += 1
            for old in kept.glob(f"{number + 1}-*.json") if kept else ():
                old.unlink()
            wait_for_quiet(WAIT)
        for name, record in taken.items():
            records[name].append({"thrown_away": thrown_away, **record})
    return records


def _round(turns: Mapping[str, Callable[[], Record]], only_quiet: bool) -> dict[str, Record] | None:
    """Return everyone's turn; None as soon as one was beside more than `OTHERS_AT_MOST`."""
    taken = {}
    for name, turn in turns.items():
        taken[name] = record = turn()
        if only_quiet and (record["others"] or 0) > OTHERS_AT_MOST:
            note = f"thrown away: others used {record['others']:.1f} cores"
            print(note, file=sys.stderr, flush=True)
            return None
    return taken


def _turn(title: str, turn: Callable[[int], Record], number: int, path: Path | None) -> Record:
    """Return what a turn finds, or found before; `others` is how many cores others used."""
    if path and path.exists():
        found: Record = json.loads(path.read_text(encoding="utf-8"))
        return found
    others, begun = Others(), time.perf_counter()
    record = turn(number) | {"others": others.look()}
    beside = "" if record["others"] is None else f", {record['others']:.2f} cores used by others"
    took = f"{title}  {time.perf_counter() - begun:.0f} s{beside}"
    print(took, file=sys.stderr, flush=True)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, record)
    return record


class Others:
    """Tells how many cores others used on average since it was made.

    Others are neither this process nor its children, of which those count that have ended.
    """

    def __init__(self) -> None:
        self._watch, self._begun, self._children = CoreWatch(), time.perf_counter(), _children()

    def look(self) -> float | None:
        """Return the cores; None where the system does not say."""
        if (load := self._watch.look()) is None:
            return None
        seconds = time.perf_counter() - self._begun
        return max(0.0, load.others - (_children() - self._children) / seconds)


def _children() -> float:
    """Return the CPU seconds of children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def wait_for_quiet(seconds: float) -> None:
    """Return when others use little of the cores, or after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        others = Others()
        time.sleep(min(2.0, seconds))
        if (others.look() or 0) <= OTHERS_AT_MOST / 2:
            return


def load_of(*groups: Mapping[str, list[Record]]) -> Record:
    """Return what was beside all these turns: cores used by others, and rounds thrown away."""
    turns = [turn for group in groups for turns in group.values() for turn in turns]
    known = [turn["others"] for turn in turns if turn["others"] is not None]
    firsts = [next(iter(group.values()), []) for group in groups]
    thrown_away = sum(turn["thrown_away"] for first in firsts for turn in first)
    return {"others": middle(known) if known else None, "thrown_away": thrown_away}


def middle(values: Iterable[float]) -> Record:
    """Return the median with the lowest and the highest value."""
    listed = list(values)
    return {"median": statistics.median(listed), "low": min(listed), "high": max(listed)}
