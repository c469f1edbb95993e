"""How soon, how fast and in how much memory a model talks: import, first token, lookup, peak.

Every figure is of whole processes in turns, apart from lookup: there both ways take turns in one
process, on the same loaded model.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from benchmarks.report import publish
from benchmarks.turns import Record, call, environment, in_turns, load_of, mib, middle, parse

SMALL = {"context_length": 256, "emb_dim": 384, "n_heads": 6, "n_layers": 6}
"""Of about 10M parameters: how soon does it write?"""
LARGE, LARGE_TOKENS = "gpt2-124m", 256
TINY = {"context_length": 64, "emb_dim": 32, "n_heads": 2, "n_layers": 2}
TRAINING = {"context_length": 256, "emb_dim": 192, "n_heads": 6, "n_layers": 4, "steps": 250}
"""The small model of characters that stands in where no --model is given."""


def measure(options: argparse.Namespace) -> Record:
    """Measure all four in a temporary folder; return the figures and their summary."""
    with tempfile.TemporaryDirectory(prefix="groundup-startup-") as name:
        return _measure(options, Path(name))


def _measure(options: argparse.Namespace, folder: Path) -> Record:
    threads, rounds = options.threads, 1 if options.quick else max(9, options.rounds)
    ceilings = call("benchmarks.ceilings", {"seconds": 0.2 if options.quick else 1}, threads)
    shapes = {"small": SMALL, "large": {"preset": LARGE}}
    made = {
        name: call("benchmarks.startup_job", {"make": str(folder / name), "shape": shape}, threads)
        for name, shape in ({"small": TINY, "large": TINY} if options.quick else shapes).items()
    }
    starts = in_turns(
        {
            "torch": partial(first_output, code("import torch"), threads),
            "groundup": partial(first_output, code("from groundup import GPT"), threads),
            "generate": partial(first_output, writing(folder / "small", 2), threads),
            "token": partial(first_output, writing(folder / "small", 1), threads),
        },
        rounds,
    )
    length = 16 if options.quick else LARGE_TOKENS
    peaks = in_turns(
        {
            "torch": partial(first_output, code("import torch"), threads),
            "generate": partial(first_output, writing(folder / "large", length), threads),
        },
        1 if options.quick else min(3, options.rounds),
    )
    lookup = talking(options, folder)
    return {
        "setting": {"threads": threads, "rounds": rounds, "tokens": length},
        "machine": ceilings["machine"],
        "load_average": ceilings["load_average"],
        "load": load_of(starts, peaks),
        "ceilings": {key: ceilings[key] for key in ("gemm_flops", "bandwidth")},
        "runs": made,
        "starts": starts,
        "peaks": peaks,
        "lookup": lookup,
        "summary": summarise(starts, peaks, made["large"], lookup, length),
    }


def code(statement: str) -> list[str]:
    """Return the command of a process that does `statement` and says so."""
    return [sys.executable, "-c", f"{statement}; print('done', flush=True)"]


def writing(run: Path, max_tokens: int) -> list[str]:
    """Return the command that lets a run write; the prompt is one character."""
    words = ["generate", str(run), "A", "--max-tokens", str(max_tokens), "--seed", "1"]
    return [sys.executable, "-m", "groundup", *words]


def first_output(command: list[str], threads: int, number: int) -> Record:
    """Run a command; return the seconds to its second byte of output, to its end, of CPU, and its
    peak."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(threads)) as process:
        assert process.stdout is not None
        said = b""
        while len(said) < 2 and (piece := os.read(process.stdout.fileno(), 4096)):
            said += piece
        seconds = time.perf_counter() - begun
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        whole = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or len(said) < 2:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return {
        "first_output_seconds": seconds,
        "whole_seconds": whole,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mib": mib(usage.ru_maxrss),
    }


def talking(options: argparse.Namespace, folder: Path) -> Record:
    """Time writing with and without lookup, by the model given or by a small one made here."""
    run = options.model
    if run is None and options.text is None:
        return {"missing": "not measured: neither --model RUN nor --text FILE was given"}
    if run is None:
        settings = TRAINING | TINY | {"steps": 5} if options.quick else TRAINING
        words = [f"--set={key}={value}" for key, value in settings.items()]
        command = [sys.executable, "-m", "groundup", "train", str(options.text), "--run", "talker"]
        command += [*words, "--tokenizer=chars", "--set=sample_tokens=0", "--json"]
        subprocess.run(
            command, cwd=folder, env=environment(options.threads), check=True, capture_output=True
        )
        run = folder / "runs" / "talker"
    job = {"talk": str(run), "tokens": 24 if options.quick else 96, "rounds": options.rounds}
    return call("benchmarks.startup_job", job, options.threads)


def summarise(
    starts: dict[str, list[Record]],
    peaks: dict[str, list[Record]],
    large: Record,
    lookup: Record,
    length: int,
) -> Record:
    """Return the ratios turn by turn, and the memory over what has to be there."""

    def ratios(key: str, ours: str = "groundup") -> Iterable[float]:
        return (a[key] / b[key] for a, b in zip(starts[ours], starts["torch"], strict=True))

    bare = middle(turn["peak_memory_mib"] for turn in peaks["torch"])
    peak = middle(turn["peak_memory_mib"] for turn in peaks["generate"])
    needed = bare["median"] + large["weights_mib"] + large["cache_mib_per_token"] * (1 + length)
    return {
        "import_ratio": middle(ratios("first_output_seconds")),
        "import_cpu_ratio": middle(ratios("cpu_seconds")),
        "one_token_ratio": middle(ratios("whole_seconds", "token")),
        "first_token_seconds": middle(t["first_output_seconds"] for t in starts["generate"]),
        "bare_mib": bare,
        "peak_mib": peak,
        "needed_mib": needed,
        "memory_ratio": peak["median"] / needed,
        "lookup": {
            name: middle(a / b for a, b in zip(text["plain"], text["ahead"], strict=True))
            for name, text in lookup.get("texts", {}).items()
        },
    }


if __name__ == "__main__":
    options = parse()
    publish("startup", measure(options), options)
