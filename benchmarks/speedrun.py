"""The speedrun: wall time of a whole process until characters of Shakespeare reach a loss.

Target A is 1.898, where the public CPU recipe ends, over the whole validation split in consecutive
windows of 64. Ours is a fixed recipe of a fixed number of steps: its last loss has to be below. A
contestant is a process from its start to its end: imports, tokenizing, training, validation, the
report. What it saved is judged afterwards by `benchmarks.protocol`. SPEEDRUN.md has the rules.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import statistics
import sys
import tempfile
from array import array
from pathlib import Path
from typing import Any

from benchmarks.report import publish
from benchmarks.student import chance_of_mean_at_or_above, confidence_95
from benchmarks.turns import Record, call, in_turns, load_of, middle, parse, timed_process

TARGET, WINDOW = 1.898, 64
OUR_PRESET = "speedrun"
OUR_RECIPE: dict[str, Any] = {
    "steps": 240,
    "batch_size": 16,
    "learning_rate": 0.01,
    "muon_learning_rate": 0.04,
    "muon_momentum": 0.8,
    "beta2": 0.95,
    "schedule": "wsd",
    "decay_share": 1.0,
    "min_learning_rate": 0.0,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "grad_clip": 0.0,
    "precision": "fp32",
    "eval_every": 100_000,
    "eval_tokens": 64,
    "sample_tokens": 0,
}
"""What `groundup train` is told by --set; everything else is its default. Frozen before the seeds
that count, which are FIRST_SEED and those that follow; it was found with others."""
FIRST_SEED = 301

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
    """Let us, the reference and us again train in turns; None where no text was given."""
    if options.text is None:
        print("speedrun: skipped, no --text PATH was given", file=sys.stderr)
        return None
    reference = "nanogpt" if options.nanogpt else "plain"
    machine = call("benchmarks.ceilings", {"seconds": 0.2 if options.quick else 3}, options.threads)
    peer = nanogpt if options.nanogpt else plain
    turns = in_turns(
        {
            "ours": lambda number: in_scratch(ours, options, 2 * number),
            reference: lambda number: in_scratch(peer, options, number),
            "ours again": lambda number: in_scratch(ours, options, 2 * number + 1),
        },
        options.rounds,
    )
    records = {"ours": turns["ours"] + turns["ours again"], reference: turns[reference]}
    return {
        "setting": {
            "target": TARGET,
            "window": WINDOW,
            "threads": options.threads,
            "rounds": options.rounds,
            "our_preset": OUR_PRESET,
            "our_recipe": OUR_RECIPE,
            "reference_recipe": NANOGPT_COMMAND if options.nanogpt else REFERENCE,
        },
        "machine": machine["machine"],
        "load_average": machine["load_average"],
        "load": load_of(turns),
        "ceilings": {key: machine[key] for key in ("gemm_flops", "bandwidth")},
        "contestants": records,
        "summary": {
            name: summarise(turns, records["ours"], options.rounds)
            for name, turns in records.items()
        },
    }


def in_scratch(contestant: Any, options: argparse.Namespace, number: int) -> Record:
    with tempfile.TemporaryDirectory(prefix="groundup-speedrun-") as folder:
        record: Record = contestant(options, Path(folder), number)
        return record


def our_command(text: Path, recipe: dict[str, Any], preset_name: str, seed: int) -> list[str]:
    """Return the words of `groundup train` for a recipe."""
    words = ["train", str(text), *f"--tokenizer chars --preset {preset_name} --run ours".split()]
    words += ["--seed", str(seed), "--json"]
    for key, value in recipe.items():
        words += ["--set", f"{key}={value}"]
    return words


def ours(options: argparse.Namespace, folder: Path, number: int) -> Record:
    """`groundup train`, from a text file to a finished run with its report."""
    recipe = OUR_RECIPE | {"threads": options.threads}
    if options.quick:
        recipe |= {"steps": QUICK_STEPS}
    command = our_command(options.text, recipe, OUR_PRESET, FIRST_SEED + number)
    record = timed_process([sys.executable, "-m", "groundup", *command], folder, options.threads)
    shown = " ".join(command).replace(str(options.text), "TEXT")
    return record | {"command": f"groundup {shown}"} | our_result(options, folder / "runs" / "ours")


def our_result(options: argparse.Namespace, run: Path, window: int = WINDOW) -> Record:
    """Return what a finished run of ours reached, by itself and by the protocol."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    record = judged(options, {"kind": "groundup", "path": str(run), "window": window})
    record |= {"tokens": lines[-1]["tokens"], "own_val_loss": lines[-1]["val_loss"]}
    if lines[-1]["val_tokens"] != record["val_tokens"] - 1:
        raise SystemExit(f"groundup predicted {lines[-1]['val_tokens']} tokens of validation text")
    return record


def nanogpt(options: argparse.Namespace, folder: Path, number: int) -> Record:
    """nanoGPT's own script on a text that is prepared already, by its README's command."""
    home = folder / "nanogpt"
    shutil.copytree(options.nanogpt, home, ignore=shutil.ignore_patterns(".git", "*.bin"))
    write_bins(options.text, home / "data" / "shakespeare_char")
    words = (NANOGPT_COMMAND + QUICK_NANOGPT * options.quick).split()
    record = timed_process([sys.executable, *words], home, options.threads)
    checkpoint = home / "out-shakespeare-char" / "ckpt.pt"
    job = {"kind": "nanogpt", "path": str(checkpoint), "nanogpt": str(home)}
    return record | judged(options, job) | reference_work(options)


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
    return record | judged(options, job) | reference_work(options)


def write_bins(text_file: Path, folder: Path) -> None:
    """Prepare the text in the layout that nanoGPT reads."""
    text = text_file.read_text(encoding="utf-8")
    known = {character: i for i, character in enumerate(sorted(set(text)))}
    cut = int(0.9 * len(text))
    for name, part in (("train", text[:cut]), ("val", text[cut:])):
        (folder / f"{name}.bin").write_bytes(array("H", [known[c] for c in part]).tobytes())
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(known)}))


def judged(options: argparse.Namespace, job: Record) -> Record:
    """Return the loss of what was saved, by the protocol."""
    return call("benchmarks.protocol", job | {"text": str(options.text)}, options.threads)


def reference_work(options: argparse.Namespace) -> Record:
    steps = QUICK_STEPS if options.quick else REFERENCE["steps"]
    return {"tokens": steps * REFERENCE["batch_size"] * REFERENCE_SHAPE["context_length"]}


def summarise(turns: list[Record], our_turns: list[Record], rounds: int) -> Record:
    """Return middles, means and how sure they are, and our share of the time of the same round."""
    seconds, losses = ([turn[key] for turn in turns] for key in ("wall_seconds", "val_loss"))
    summary: Record = {
        key: middle(turn[key] for turn in turns)
        for key in ("wall_seconds", "val_loss", "peak_memory_mib")
    }
    pairs = [(our, turns[i % rounds]) for i, our in enumerate(our_turns)]
    return summary | {
        "tokens": turns[0]["tokens"],
        "mean_seconds": statistics.fmean(seconds),
        "seconds_confidence_95": confidence_95(seconds),
        "mean_loss": statistics.fmean(losses),
        "p_value": chance_of_mean_at_or_above(losses, TARGET),
        "seeds_below": sum(loss <= TARGET for loss in losses),
        "our_time_ratio": middle(a["wall_seconds"] / b["wall_seconds"] for a, b in pairs),
    }


if __name__ == "__main__":
    options = parse()
    publish("speedrun", measure(options), options)
