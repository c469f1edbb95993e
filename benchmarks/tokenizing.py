"""Text to ids beside bare tiktoken and `tokenizers`, whole files to shards, and BPE training."""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import publish
from benchmarks.turns import Record, call, in_turns, load_of, middle, parse

ENCODERS = ("ours", "tiktoken", "tokenizers")
PIPELINE = ("ours", "tiktoken")
TRAINERS = ("ours", "tokenizers")
VOCAB_SIZE = 8192
SIZES = {"short": 8_000_000, "long": 64_000_000, "varied": 100_000_000}
"""Bytes: of what is encoded, of the file that goes all the way, of what a vocabulary learns."""
QUICK_BYTES = 200_000


def measure(options: argparse.Namespace) -> Record:
    """Encode, prepare and train in turns; return all figures and their summary."""
    with tempfile.TemporaryDirectory(prefix="groundup-tokenizing-") as folder:
        return measure_in(Path(folder), options)


def measure_in(folder: Path, options: argparse.Namespace) -> Record:
    facts = call("benchmarks.ceilings", {"seconds": 0.2}, options.threads)
    sizes = dict.fromkeys(SIZES, QUICK_BYTES) if options.quick else SIZES
    call("benchmarks.texts", {"folder": str(folder), "sizes": sizes}, options.threads)
    texts = {name: folder / f"{name}.txt" for name in SIZES}
    own = {"out": str(folder / "own.json")}
    training = turns_of("train", TRAINERS, texts["varied"], own, threads=2)
    # Each trains once: it takes half a minute, and half a minute smooths over what disturbs it.
    records = {"train": in_turns(training, 1)}
    for name in ("gpt2", "own"):
        job = {"tokenizer": str(folder / f"{name}.json")}
        turns = turns_of("encode", ENCODERS, texts["short"], job)
        records[f"encode {name}"] = in_turns(turns, options.rounds)
    job = {"tokenizer": str(folder / "gpt2.json"), "out": str(folder / "shards")}
    turns = turns_of("pipeline", PIPELINE, texts["long"], job)
    records["pipeline"] = in_turns(turns, options.rounds)
    return {
        "setting": {
            "rounds": options.rounds,
            "bytes": {name: path.stat().st_size for name, path in texts.items()},
            "vocab_size": VOCAB_SIZE,
        },
        "machine": facts["machine"],
        "load_average": facts["load_average"],
        "load": load_of(*records.values()),
        "ceilings": {key: facts[key] for key in ("gemm_flops", "bandwidth")},
        "contestants": records,
        "summary": {task: summarise(turns) for task, turns in records.items()},
    }


def turns_of(
    task: str, names: tuple[str, ...], text: Path, job: dict[str, Any], threads: int = 1
) -> dict[str, Any]:
    job = job | {"task": task, "text": str(text), "vocab_size": VOCAB_SIZE, "threads": threads}
    return {name: partial(turn, job | {"contestant": name}, threads) for name in names}


def turn(job: Record, threads: int, number: int) -> Record:
    return call("benchmarks.encoders", job, threads)


def summarise(records: dict[str, list[Record]]) -> dict[str, Record]:
    """Return each contestant's rate (MB/s), and ours as a ratio of it, turn by turn."""
    rates = {name: [t["bytes"] / t["seconds"] / 1e6 for t in ts] for name, ts in records.items()}
    return {
        name: {
            "rate": middle(rates[name]),
            "seconds": middle(turn["seconds"] for turn in turns),
            "peak_memory_mib": middle(turn["peak_memory_mib"] for turn in turns),
            "our_ratio": middle(a / b for a, b in zip(rates["ours"], rates[name], strict=True)),
        }
        for name, turns in records.items()
    }


if __name__ == "__main__":
    options = parse()
    publish("tokenizing", measure(options), options)
