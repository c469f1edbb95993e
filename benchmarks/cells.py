"""Cells: what one process measures. Each result is kept as it comes, and found again."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.turns import Record, call
from groundup.base.files import write_json

Run = Callable[[str, Record, int], Record]
"""(module, job, threads) to what it prints: by default, in a process of its own."""


@dataclass(frozen=True)
class Cells:
    """The results in a folder of work, a file a cell."""

    work: Path
    threads: int
    run: Run = call
    folder: str = "cells"

    def of(self, name: str, module: str, job: Record, threads: int | None = None) -> Record:
        """Return what `module` finds for `job`: as it was kept, or measured now.

        A result of another job under the same name is measured anew. `work` is told to the module
        and is no part of the job, so that the folder may be moved.
        """
        path = self.work / self.folder / f"{name}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["job"] == json.loads(json.dumps(job)):
                found: Record = kept["result"]
                return found
            print(f"{name}: kept with other settings; measured anew", file=sys.stderr, flush=True)
        begun = time.perf_counter()
        result = self.run(module, job | {"work": str(self.work)}, threads or self.threads)
        result = {"wall_seconds": time.perf_counter() - begun, **result}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"job": job, "result": result})
        print(f"{name}: {result['wall_seconds']:.0f} s", file=sys.stderr, flush=True)
        return result

    def all(self, module: str, jobs: Iterable[tuple[str, Record]], at_once: int) -> list[Record]:
        """Return the results of several jobs, so many at once, each with one thread."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda one: self.of(one[0], module, one[1], 1), jobs))


def cells_of(options: argparse.Namespace, group: str = "") -> Cells:
    """Return the cells of the folder of work; those of a trial and of another `group` lie apart."""
    folder = group + ("quick" if options.quick else "cells")
    return Cells(options.work, options.threads, folder=folder)


def run_of(job: Record) -> Record:
    """Return what a request says of the run of a cell: its base, and where it lies."""
    work = Path(job["work"])
    return {
        "base": work / job["base"],
        "run": job["run"],
        "own_process": True,
        "runs_folder": work / "runs",
        "data_folder": work / "data",
    }


def answer(result: Callable[[Record], Record]) -> None:
    """Print the result of the job on the command line, as `call` reads it."""
    job = json.loads(sys.argv[1])
    with contextlib.redirect_stdout(sys.stderr):
        record = result(job)
    print(json.dumps(record))
