"""Training, the same mathematics."""

from __future__ import annotations

from benchmarks.tables.parts import machine, spread
from benchmarks.turns import Record

TRAINING_NAMES = {
    "ours": "**groundup**, fp32",
    "ours_auto": "**groundup**, precision as it chooses",
    "plain": "plain eager GPT-2",
    "nanogpt": "nanoGPT",
    "transformers": "transformers (sdpa)",
    "litgpt": "litgpt",
    "llms_from_scratch": "llms-from-scratch",
}


def table(result: Record) -> str:
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
