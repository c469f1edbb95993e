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
    "ours": "**groundup**, fp32",
    "ours_auto": "**groundup**, precision as it chooses",
    "plain": "plain eager GPT-2",
    "nanogpt": "nanoGPT",
    "transformers": "transformers (sdpa)",
    "litgpt": "litgpt",
    "llms_from_scratch": "llms-from-scratch",
}
SPEEDRUN_NAMES = {
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
    print(f"{path}\n\n{TABLES[name](result)}\n", flush=True)
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
        path = RESULTS / f"{name}.json"
        if path.is_file():
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


def speedrun_table(result: Record) -> str:
    setting, target = result["setting"], result["setting"]["target"]
    rows = [
        "| | wall time, s | mean, with its 95% interval | groundup's time | validation loss | mean "
        f"| runs at or below {target} | p of a mean above | tokens seen | peak memory, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, s in sorted(result["summary"].items(), key=lambda item: item[0] != "ours"):
        sure = s["seconds_confidence_95"]
        cells = [
            SPEEDRUN_NAMES[name],
            spread(s["wall_seconds"], "{:.1f}"),
            f"{s['mean_seconds']:.1f}" + (f" ({sure[0]:.1f} to {sure[1]:.1f})" if sure else ""),
            "" if name == "ours" else spread(s["our_time_ratio"], "{:.3f}") + " ×",
            spread(s["val_loss"], "{:.4f}"),
            f"{s['mean_loss']:.4f}",
            f"{s['seeds_below']} of {len(result['contestants'][name])}",
            "" if s["p_value"] is None else f"{s['p_value']:.1g}",
            f"{s['tokens']:,}",
            spread(s["peak_memory_mib"], "{:,.0f}"),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            f"### Speedrun: characters of tinyshakespeare to {target}",
            "",
            "Loss over the whole last tenth of the text in windows of "
            f"{setting['window']} (nats a character); wall time of the whole process, imports, "
            f"tokenizing and validation included; {setting['threads']} threads, "
            f"{setting['rounds']} rounds, each of two seeds of ours and the reference, whose seed "
            "is fixed in its code.",
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


def speedrun_long_table(result: Record) -> str:
    setting, s = result["setting"], result["summary"]
    rows = [
        f"| {r['seed']} | {r['wall_seconds'] / 60:.1f} | {r['val_loss']:.4f} | {r['tokens']:,} |"
        for r in result["seeds"]
    ]
    sure = "" if s["p_value"] is None else f", p of a mean above {s['p_value']:.1g}"
    return "\n".join(
        [
            f"### Speedrun: characters of tinyshakespeare to {setting['target']}",
            "",
            "The best of nanoGPT's GPU recipe after three minutes on an A100, quoted. Loss over "
            f"the whole last tenth of the text in windows of {setting['window']}; wall time of all "
            f"slices of a run; {setting['threads']} threads. Mean loss {s['mean_loss']:.4f}, "
            f"{s['seeds_below']} of {len(rows)} at or below the target{sure}.",
            "",
            machine(result),
            "",
            "| seed | wall time, minutes | validation loss | tokens seen |",
            "|---|---|---|---|",
            *rows,
            "",
            "```",
            result["seeds"][0]["command"],
            "```",
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
    "speedrun": speedrun_table,
    "speedrun_long": speedrun_long_table,
}


if __name__ == "__main__":
    update_page()
