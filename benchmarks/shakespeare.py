"""Characters of Shakespeare: validation loss and wall time beside the public recipe.

Every contestant is a process from its start to its end; the loss is taken afterwards, from what it
saved, by `benchmarks.protocol`.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import sys
import tempfile
import tomllib
from array import array
from pathlib import Path
from typing import Any

from benchmarks.report import publish
from benchmarks.turns import Record, call, in_turns, middle, parse, timed_process
from groundup.config import preset
from groundup.plan import training_flops_per_token

OUR_PRESET = "pico"
OUR_RECIPE: dict[str, Any] = {
    "steps": 1400,
    "batch_size": 12,
    "eval_every": 700,
    "sample_tokens": 0,
}
"""What `groundup train` is told by --set; everything else is its default."""

REFERENCE: dict[str, Any] = {
    "steps": 2000,
    "batch_size": 12,
    "learning_rate": 1e-3,
    "min_learning_rate": 1e-4,
    "warmup_steps": 100,
    "beta2": 0.99,
    "grad_clip": 1.0,
    "eval_every": 250,
    "eval_batches": 20,
}
"""The public CPU recipe for tinyshakespeare, as nanoGPT's README gives it."""
REFERENCE_SHAPE = {"context_length": 64, "emb_dim": 128, "n_heads": 4, "n_layers": 4}

NANOGPT_COMMAND = (
    "train.py config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20 "
    "--log_interval=1 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 "
    "--max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"
)
QUICK_STEPS = 20
QUICK_NANOGPT = " --max_iters=20 --lr_decay_iters=20 --eval_interval=10 --warmup_iters=2"


def measure(options: argparse.Namespace) -> Record | None:
    """Let us and the reference train in turns; None where no text was given."""
    if options.text is None:
        print("shakespeare: skipped, no --text PATH was given", file=sys.stderr)
        return None
    reference = "nanogpt" if options.nanogpt else "plain"
    machine = call("benchmarks.ceilings", {"seconds": 0.2 if options.quick else 3}, options.threads)
    peer = nanogpt if options.nanogpt else plain
    records = in_turns(
        {
            "ours": lambda number: in_scratch(ours, options, number),
            reference: lambda number: in_scratch(peer, options, number),
        },
        options.rounds,
    )
    return {
        "setting": {
            "threads": options.threads,
            "rounds": options.rounds,
            "our_preset": OUR_PRESET,
            "our_recipe": OUR_RECIPE,
            "reference_recipe": NANOGPT_COMMAND if options.nanogpt else REFERENCE,
        },
        "machine": machine["machine"],
        "load_average": machine["load_average"],
        "ceilings": {key: machine[key] for key in ("gemm_flops", "bandwidth")},
        "contestants": records,
        "summary": {
            name: summarise(turns, records["ours"], machine["gemm_flops"])
            for name, turns in records.items()
        },
    }


def in_scratch(contestant: Any, options: argparse.Namespace, number: int) -> Record:
    with tempfile.TemporaryDirectory(prefix="groundup-shakespeare-") as folder:
        record: Record = contestant(options, Path(folder), number)
        return record


def ours(options: argparse.Namespace, folder: Path, number: int) -> Record:
    """`groundup train`, from a text file to a finished run with its report."""
    recipe = OUR_RECIPE | {"threads": options.threads}
    if options.quick:
        recipe |= {"steps": QUICK_STEPS, "eval_every": 10, "warmup_steps": 2}
    command = f"train {options.text} --tokenizer chars --preset {OUR_PRESET} --run ours".split()
    command += ["--seed", str(number + 1)]
    for key, value in recipe.items():
        command += ["--set", f"{key}={value}"]
    record = timed_process([sys.executable, "-m", "groundup", *command], folder, options.threads)
    run = folder / "runs" / "ours"
    record["command"] = "groundup " + " ".join(command).replace(str(options.text), "TEXT")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    tables = tomllib.loads((run / "run.toml").read_text(encoding="utf-8"))
    record |= judged(options, {"kind": "groundup", "path": str(run)})
    record["tokens"] = lines[-1]["tokens"]
    record["flops"] = lines[-1]["tokens"] * tables["plan"]["flops_per_token"]
    record["own_val_loss"] = lines[-1]["val_loss"]
    if tables["data"]["val_tokens"] != record["val_tokens"]:
        raise SystemExit(f"groundup kept {tables['data']['val_tokens']} tokens for validation")
    return record


def nanogpt(options: argparse.Namespace, folder: Path, number: int) -> Record:
    """nanoGPT's own script on a text that is prepared already, by its README's command."""
    home = folder / "nanogpt"
    shutil.copytree(options.nanogpt, home, ignore=shutil.ignore_patterns(".git", "*.bin"))
    known = write_bins(options.text, home / "data" / "shakespeare_char")
    words = (NANOGPT_COMMAND + QUICK_NANOGPT * options.quick).split()
    record = timed_process([sys.executable, *words], home, options.threads)
    checkpoint = home / "out-shakespeare-char" / "ckpt.pt"
    job = {"kind": "nanogpt", "path": str(checkpoint), "nanogpt": str(home)}
    return record | judged(options, job) | reference_work(options, known)


def plain(options: argparse.Namespace, folder: Path, number: int) -> Record:
    """The plain GPT-2 by the same recipe, where there is no nanoGPT."""
    vocab_size = len(set(options.text.read_text(encoding="utf-8")))
    shape = REFERENCE_SHAPE | {"vocab_size": vocab_size, "bias": False}
    out = str(folder / "model.safetensors")
    recipe = REFERENCE | {"shape": shape, "text": str(options.text), "seed": number + 1, "out": out}
    if options.quick:
        recipe |= {"steps": QUICK_STEPS, "warmup_steps": 2}
    command = [sys.executable, "-m", "benchmarks.peers.plain_recipe", json.dumps(recipe)]
    record = timed_process(command, folder, options.threads)
    job = {"kind": "plain", "path": out, "shape": shape}
    return record | judged(options, job) | reference_work(options, vocab_size)


def write_bins(text_file: Path, folder: Path) -> int:
    """Prepare the text in the layout that nanoGPT reads; return the size of the alphabet."""
    text = text_file.read_text(encoding="utf-8")
    known = {character: i for i, character in enumerate(sorted(set(text)))}
    cut = int(0.9 * len(text))
    for name, part in (("train", text[:cut]), ("val", text[cut:])):
        (folder / f"{name}.bin").write_bytes(array("H", [known[c] for c in part]).tobytes())
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(known)}))
    return len(known)


def judged(options: argparse.Namespace, job: Record) -> Record:
    """Return the loss of what was saved, by the protocol."""
    return call("benchmarks.protocol", job | {"text": str(options.text)}, options.threads)


def reference_work(options: argparse.Namespace, vocab_size: int) -> Record:
    steps = QUICK_STEPS if options.quick else REFERENCE["steps"]
    tokens = steps * REFERENCE["batch_size"] * REFERENCE_SHAPE["context_length"]
    config = preset("pico", vocab_size=vocab_size, **REFERENCE_SHAPE)
    return {"tokens": tokens, "flops": tokens * training_flops_per_token(config)}


def summarise(turns: list[Record], our_turns: list[Record], gemm_flops: float) -> Record:
    summary: Record = {
        key: middle(turn[key] for turn in turns)
        for key in ("wall_seconds", "val_loss", "peak_memory_mib")
    }
    limit = turns[0]["flops"] / gemm_flops
    summary["tokens"] = turns[0]["tokens"]
    summary["fraction_of_limit"] = limit / summary["wall_seconds"]["median"]
    pairs = list(zip(our_turns, turns, strict=True))
    summary["our_time_ratio"] = middle(a["wall_seconds"] / b["wall_seconds"] for a, b in pairs)
    summary["our_loss_difference"] = middle(a["val_loss"] - b["val_loss"] for a, b in pairs)
    return summary


if __name__ == "__main__":
    options = parse()
    publish("shakespeare", measure(options), options)
