"""Results to JSON, and from there to the tables of docs/performance.md."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable

from benchmarks.turns import ROOT, Record

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

TRAINING_NAMES = {
    "ours": "**groundup**",
    "plain": "plain eager GPT-2",
    "nanogpt": "nanoGPT",
    "transformers": "transformers (sdpa)",
    "llms_from_scratch": "llms-from-scratch",
}
SHAKESPEARE_NAMES = {
    "ours": "**groundup**",
    "nanogpt": "nanoGPT, its README's CPU recipe",
    "plain": "plain eager GPT-2, the same recipe",
}


def publish(name: str, result: Record | None, options: argparse.Namespace) -> None:
    """Write a result as JSON; print its table, and put it on the page unless it was a trial."""
    if result is None:
        return
    folder = options.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(stamped(result), indent=2) + "\n", encoding="utf-8")
    print(f"{path}\n\n{TABLES[name.partition('-')[0]](result)}\n", flush=True)
    if folder == RESULTS:
        update_page()


def stamped(result: Record) -> Record:
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
    setting, shape = result["setting"], result["setting"]["shape"]
    rows = [
        "| | tokens/s | of the limit | groundup's speed | peak memory, MiB "
        "| over 16 bytes a parameter | groundup's memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, label in TRAINING_NAMES.items():
        if name in result["missing"]:
            rows.append(f"| {label} | {result['missing'][name]} | | | | | |")
            continue
        s = result["summary"][name]
        cells = [
            label,
            spread(s["tokens_per_second"], "{:,.0f}"),
            f"{s['fraction_of_limit']:.0%}",
            "" if name == "ours" else spread(s["our_speed_ratio"], "{:.2f}") + " ×",
            spread(s["peak_memory_mib"], "{:,.0f}"),
            f"{s['memory_over_state']:.2f} ×",
            "" if name == "ours" else spread(s["our_memory_ratio"], "{:.2f}") + " ×",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            "### Training gpt2-124m",
            "",
            f"{result['summary']['ours']['parameters']:,} parameters (tied, query-key-value bias; "
            f"vocabulary {shape['vocab_size']:,}, positions {shape['context_length']:,}), batch "
            f"{setting['batch_size']} × {setting['window']} tokens, fp32, AdamW, gradient clipped "
            f"to norm 1, {setting['threads']} threads; {setting['rounds']} rounds of "
            f"{setting['steps'] - 1} timed steps after 1 to warm up.",
            "",
            machine(result),
            "",
            *rows,
        ]
    )


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
            ratio = "" if name == "groundup" else spread(s["our_speed_ratio"], "{:.2f}") + " ×"
            cells = [
                f"**{name}**" if name == "groundup" else name,
                spread(s["tokens_per_second"], "{:,.0f}"),
                f"{s['fraction_of_limit']:.0%}",
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
}


if __name__ == "__main__":
    update_page()
