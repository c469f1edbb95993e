"""Results to JSON, and from there to the tables of docs/performance.md."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.turns import ROOT, Record

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

TRAINING_NAMES = {
    "ours": "**groundup**, fp32",
    "ours_auto": "**groundup**, precision as it chooses",
    "plain": "plain eager GPT-2",
    "nanogpt": "nanoGPT",
    "transformers": "transformers (sdpa)",
    "litgpt": "litgpt",
    "llms_from_scratch": "llms-from-scratch",
}
SHAKESPEARE_NAMES = {
    "ours": "**groundup**",
    "nanogpt": "nanoGPT, its README's CPU recipe",
    "plain": "plain eager GPT-2, the same recipe",
}

TOKENIZING_NAMES = {"ours": "**groundup**", "tiktoken": "tiktoken", "tokenizers": "tokenizers"}
TOKENIZING_TASKS = {
    "encode gpt2": "GPT-2's vocabulary",
    "encode own": "a vocabulary of its own",
    "pipeline": "from file to shards (tiktoken: only its ids)",
    "train": "learning a vocabulary",
}
LOOKUP_LEAST = {"repeats, greedy": "1.50 ×", "does not": "0.95 ×"}


def publish(name: str, result: Record | None, options: argparse.Namespace) -> None:
    """Write a result as JSON; print its table, and put it on the page unless it was a trial."""
    if result is None:
        return
    path = store(name, result, options)
    print(f"{path}\n\n{TABLES[name.partition('-')[0]](result)}\n", flush=True)
    if path.parent == RESULTS:
        update_page()


def store(name: str, result: Record, options: argparse.Namespace) -> Path:
    """Write a result as JSON; return where."""
    folder: Path = options.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(stamped(result), indent=2) + "\n", encoding="utf-8")
    return path


def stamped(result: Record) -> Record:
    commit = ""
    if shutil.which("git"):
        git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    return {"commit": commit or "unknown", **result}


def update_page() -> None:
    """Replace what stands between the marks of docs/performance.md by the tables of all results."""
    parts = []
    for name, table in TABLES.items():
        for path in sorted(RESULTS.glob(f"{name}*.json")):  # one a device, where it has a name
            parts.append(table(json.loads(path.read_text(encoding="utf-8"))))
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    body = "\n\n".join(parts)
    PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def training_table(result: Record) -> str:
    setting, ceilings = result["setting"], result["ceilings"]
    lines = [
        "### Training, the same mathematics",
        "",
        "GPT-2's architecture, AdamW, gradient clipped to norm 1, fp32 where nothing else is said, "
        f"{setting['threads']} threads; {setting['rounds']} rounds. The GEMM peak is the best "
        "square matrix product of the same round, in the same number format.",
        "",
        machine(result) + f" bf16 products {ceilings['bf16_flops'] / 1e9:,.0f} GFLOP/s.",
    ]
    for name, summary in result["summary"].items():
        job, steps = result["jobs"][f"{name}/ours"], result["jobs"][f"{name}/ours"]["steps"] - 1
        shape = job["shape"]
        lines += [
            "",
            f"#### {shape['n_layers']} layers, {shape['emb_dim']} wide, "
            f"{job['batch_size']} × {job['window']:,} tokens",
            "",
            f"{summary['ours']['parameters']:,} parameters (tied, query-key-value bias), "
            f"vocabulary {shape['vocab_size']:,}; {steps} timed steps a turn after 1 to warm up.",
            "",
            "| | tokens/s | of the GEMM peak | groundup's speed | peak memory, MiB "
            "| groundup's memory |",
            "|---|---|---|---|---|---|",
            *(training_row(contestant, s) for contestant, s in summary.items()),
        ]
    lines += ["", *(f"{TRAINING_NAMES[who]}: {why}." for who, why in result["missing"].items())]
    return "\n".join(lines).rstrip()


def training_row(contestant: str, s: Record) -> str:
    theirs = not contestant.startswith("ours")
    label = TRAINING_NAMES[contestant]
    cells = [
        f"{label} ({s['precision']})" if contestant == "ours_auto" else label,
        spread(s["tokens_per_second"], "{:,.0f}"),
        spread(s["fraction_of_peak"], "{:.0%}"),
        spread(s["our_speed_ratio"], "{:.2f}") + " ×" if theirs else "",
        spread(s["peak_memory_mib"], "{:,.0f}"),
        spread(s["our_memory_ratio"], "{:.2f}") + " ×" if theirs else "",
    ]
    return "| " + " | ".join(cells) + " |"


def shakespeare_table(result: Record) -> str:
    rows = [
        "| | validation loss | wall time, s | groundup's time | groundup's loss | tokens seen "
        "| of the limit | peak memory, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, s in sorted(result["summary"].items(), key=lambda item: item[0] != "ours"):
        cells = [
            SHAKESPEARE_NAMES[name],
            spread(s["val_loss"], "{:.4f}"),
            spread(s["wall_seconds"], "{:.1f}"),
            "" if name == "ours" else spread(s["our_time_ratio"], "{:.2f}") + " ×",
            "" if name == "ours" else spread(s["our_loss_difference"], "{:+.4f}"),
            f"{s['tokens']:,}",
            f"{s['fraction_of_limit']:.0%}",
            spread(s["peak_memory_mib"], "{:,.0f}"),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    setting = result["setting"]
    return "\n".join(
        [
            "### Characters of tinyshakespeare",
            "",
            "Loss over the whole last tenth of the text in windows of 64 (nats a character); wall "
            f"time of the whole process; {setting['threads']} threads, {setting['rounds']} rounds.",
            "",
            machine(result),
            "",
            *rows,
            "",
            "```",
            result["contestants"]["ours"][0]["command"],
            "```",
        ]
    )


def gpu_table(result: Record) -> str:
    lines = [
        "| | tokens/s | of the limit | groundup's speed | peak memory, GiB |",
        "|---|---|---|---|---|",
    ]
    for part in result["parts"]:
        lines.append(f"| *{part['name']}* | | | | |")
        for name, s in part["summary"].items():
            ratio = spread(s["our_speed_ratio"], "{:.2f}") + " ×" if "our_speed_ratio" in s else ""
            at_once = f", {s['at_once']} at once" if "at_once" in s else ""
            cells = [
                (f"**{name}**" if name == "groundup" else name) + at_once,
                spread(s["tokens_per_second"], "{:,.0f}"),
                f"{s['fraction_of_limit']:.1%}",
                ratio,
                f"{s['peak_memory_gib']:.1f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines += [f"| {name} | {why} | | | |" for name, why in part["missing"].items()]
    c = result["ceilings"]
    return "\n".join(
        [
            f"### On an {result['device']}",
            "",
            "Training in bf16, compiled, the limit being 989 TFLOP/s (the figure on the data sheet "
            "of an H100 or H200); writing one text in bf16, the limit being its weights and cache "
            f"read at the rate of a copy. PyTorch {result['torch']}. Measured in the same run: "
            f"bf16 matrix products {c['gemm_flops'] / 1e12:,.0f} TFLOP/s, copies "
            f"{c['bandwidth'] / 1e12:.2f} TB/s.",
            "",
            *lines,
        ]
    )


def tokenizing_table(result: Record) -> str:
    setting, sizes = result["setting"], result["setting"]["bytes"]
    rows = ["| | MB/s a core | groundup's speed | peak memory, MiB |", "|---|---|---|---|"]
    for task, title in TOKENIZING_TASKS.items():
        for name, s in result["summary"][task].items():
            cells = [
                f"{title}: {TOKENIZING_NAMES[name]}",
                spread(s["rate"], "{:.1f}"),
                "" if name == "ours" else spread(s["our_ratio"], "{:.2f}") + " ×",
                spread(s["peak_memory_mib"], "{:,.0f}"),
            ]
            rows.append("| " + " | ".join(cells) + " |")
    seconds = result["summary"]["train"]["ours"]["seconds"]["median"]
    return "\n".join(
        [
            "### Text to ids",
            "",
            f"{sizes['short'] / 1e6:.0f} MB of the named texts in pieces of 256 Ki characters; a "
            f"file of {sizes['long'] / 1e6:.0f} MB all the way; by CPU time, {setting['rounds']} "
            f"rounds. Learning a vocabulary of {setting['vocab_size']:,} from "
            f"{sizes['varied'] / 1e6:.0f} MB, on two threads and once, by wall time, took "
            f"groundup {seconds:.1f} s.",
            "",
            machine(result),
            "",
            *rows,
        ]
    )


def startup_table(result: Record) -> str:
    s, lookup, runs = result["summary"], result["lookup"], result["runs"]
    small, large = (f"{runs[name]['parameters']:,}" for name in ("small", "large"))
    rows = [
        "| | measured | at most, or at least |",
        "|---|---|---|",
        f"| import of the package, over that of torch | {spread(s['import_ratio'], '{:.2f}')} × "
        "| 1.10 × |",
        f"| from process start to the first token, {small} parameters "
        f"| {spread(s['first_token_seconds'], '{:.2f}')} s | 2.50 s |",
        f"| peak memory of writing {result['setting']['tokens']} tokens, {large} parameters, over "
        f"weights, cache and a process with torch ({s['needed_mib']:,.0f} MiB) "
        f"| {s['memory_ratio']:.2f} × | 1.15 × |",
    ]
    if "missing" in lookup:
        rows.append(f"| lookup | {lookup['missing']} | |")
    for name, ratio in s["lookup"].items():
        least = LOOKUP_LEAST.get(name, "")
        rows.append(
            f"| speed with lookup over without, {lookup['parameters']:,} parameters, a text that "
            f"{name} | {spread(ratio, '{:.2f}')} × | {least} |"
        )
    return "\n".join(["### Start-up, lookup and memory", "", machine(result), "", *rows])


def machine(result: Record) -> str:
    facts, ceilings = result["machine"], result["ceilings"]
    return (
        f"Machine: {facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, "
        f"{facts['instructions']}; PyTorch {facts['torch']}, Python {facts['python']}; load before "
        f"the first turn {result['load_average']:.1f}. Ceilings measured in the same run: fp32 "
        f"matrix products {ceilings['gemm_flops'] / 1e9:,.0f} GFLOP/s, memory "
        f"{ceilings['bandwidth'] / 1e9:.1f} GB/s."
    )


def spread(values: Record, form: str) -> str:
    """Return the median, with the range of the rounds where there is one."""
    median, low, high = (form.format(values[key]) for key in ("median", "low", "high"))
    return median if low == high else f"{median} ({low} to {high})"


TABLES: dict[str, Callable[[Record], str]] = {
    "training": training_table,
    "shakespeare": shakespeare_table,
    "gpu": gpu_table,
    "tokenizing": tokenizing_table,
    "startup": startup_table,
}


if __name__ == "__main__":
    update_page()
