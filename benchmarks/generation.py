"""Tokens per second of writing, side by side with the peers: with gpt2-124m's shape, and with the
real model of `--model`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.report import publish
from benchmarks.turns import Record, environment, in_turns, load_of, middle, parse
from groundup.config import preset

PRESET = "gpt2-124m"
QUICK = {"vocab_size": 512, "context_length": 64, "emb_dim": 64, "n_heads": 2, "n_layers": 2}
SHAPE_KEYS = tuple(QUICK)
GGUF = ("f32", "bf16", "q8_0", "q4_0")
NO_GGUF = ("transformers", "litgpt")
STORED_BITS = {"f32": 32, "bf16": 16, "q8_0": 8.5, "q4_0": 4.5, "int8": 8, "int4": 5}
STORED_BITS |= {"f32_compiled": 32, "int8_compiled": 8}
"""Bits of a weight that each token has to read, the scales included."""
TRIES = 3
FIGURES = ("alone", "batch", "prefill")


def measure(options: argparse.Namespace) -> Record:
    """Let everyone who is present write in turns, with random weights and with a real model."""
    config = preset(PRESET, **(QUICK if options.quick else {}))
    shape = {key: getattr(config, key) for key in SHAPE_KEYS}
    found = side_by_side(options, {"shape": shape}, absent(options))
    if options.model:
        peers = dict.fromkeys(("ours_no_cache", *NO_GGUF), "with random weights alone")
        found["real"] = side_by_side(
            options, {"source": str(options.model.absolute())}, absent(options) | peers
        )
    return found


def side_by_side(options: argparse.Namespace, model: Record, missing: dict[str, str]) -> Record:
    """Return all figures of one model and their summary."""
    pythons = {"litgpt": options.litgpt, "llama_cpp": options.llama}
    with tempfile.TemporaryDirectory(prefix="groundup-bench-") as folder:
        base = {
            **model,
            "folder": folder,
            "threads": options.threads,
            "tries": 1 if options.quick else TRIES,
            "quick": options.quick,
            "gguf": GGUF if options.llama else (),
            "seconds": 0.2 if options.quick else 2,
        }
        n_read = speak(sys.executable, base | {"contestant": "prepare"})["weights_read"]
        turns: dict[str, Callable[[int], Record]] = {}
        for name, job in jobs(folder, model.get("source", "fp32")).items():
            if name not in missing:
                python = str(pythons.get(job["contestant"]) or sys.executable)
                turns[name] = partial(turn, python, base | job)
        limits = partial(turn, sys.executable, base | {"contestant": "ceilings"})
        records = in_turns({"ceilings": limits} | turns, options.speak_rounds)
        load = load_of(records)
    ceilings = records.pop("ceilings")
    read_bytes = max(record["read_bytes"] for record in ceilings)
    summary = {name: summed(name, turns, n_read, read_bytes) for name, turns in records.items()}
    name = options.model.name if "source" in model else PRESET
    base |= {"folder": None, "source": None}
    return {
        "setting": {"preset": name, "rounds": options.speak_rounds, **base},
        "machine": ceilings[0]["machine"],
        "load_average": os.getloadavg()[0],
        "load": load,
        "ceilings": {"read_bytes": read_bytes},
        "weights_read": n_read,
        "missing": missing,
        "contestants": records,
        "summary": summary,
    }


def jobs(folder: str, run: str) -> dict[str, Record]:
    """Return each contestant's job, by the name that the table knows it by; `run` is in fp32."""
    ours: dict[str, Record] = {
        "ours_no_cache": {"run": run, "cache": False, "tries": 1},
        "ours_f32": {"run": run},
        "ours_f32_compiled": {"run": run, "compiled": True},
        "ours_int8": {"run": "int8"},
        "ours_int8_compiled": {"run": "int8", "compiled": True},
        "ours_int4": {"run": "int4"},
    }
    llama = {
        f"llama_{form}": {"contestant": "llama_cpp", "file": f"{folder}/{form}.gguf"}
        for form in GGUF
    }
    peers = {name: {"contestant": name} for name in NO_GGUF}
    return {name: {"contestant": "ours", **job} for name, job in ours.items()} | peers | llama


def absent(options: argparse.Namespace) -> dict[str, str]:
    """Return which peers cannot run, and why."""
    reasons = {}
    if find_spec("transformers") is None:
        reasons["transformers"] = "transformers is not installed"
    if options.litgpt is None:
        reasons["litgpt"] = "not measured: no --litgpt PYTHON was given"
    if options.llama is None:
        reasons |= {f"llama_{form}": "not measured: no --llama PYTHON was given" for form in GGUF}
    return reasons


def turn(python: str, job: Record, number: int) -> Record:
    """Let a contestant speak; llama.cpp without its own weight layouts where those crash."""
    try:
        return speak(python, job)
    except SystemExit:
        if job["contestant"] != "llama_cpp":
            raise
        note = "crashed with its own weight layouts (AMX); measured without them"
        return speak(python, job | {"extra_buffers": False}) | {"note": note}


def speak(python: str, job: Record) -> Record:
    """Run a contestant in its own process and environment; return the record it prints last."""
    words = [python, str(Path(__file__).with_name("speakers.py")), json.dumps(job)]
    done = subprocess.run(words, env=environment(job["threads"]), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}:\n{done.stderr[-4000:]}")
    record: Record = json.loads(done.stdout.splitlines()[-1])
    return record


def summed(name: str, turns: list[Record], n_read: int, read_bytes: float) -> Record:
    """Return a contestant's figures over its turns, and its share of what memory allows."""
    figures = {key: middle(t[key] for t in turns) for key in FIGURES if key in turns[0]}
    bits = STORED_BITS.get(name.partition("_")[2], 32)
    limit = read_bytes / (n_read * bits / 8)
    return {
        **figures,
        "limit": limit,
        "fraction_of_limit": figures["alone"]["median"] / limit,
        "peak_memory_mib": middle(t["peak_memory_mib"] for t in turns),
        "note": turns[0].get("note", ""),
    }


def main() -> None:
    options = parse()
    publish("generation", measure(options), options)


if __name__ == "__main__":
    main()
