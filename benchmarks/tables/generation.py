"""Writing, beside the peers."""

from __future__ import annotations

from benchmarks.tables.parts import beside, spread
from benchmarks.turns import Record

SPEAKER_NAMES = {
    "ours_f32": "**groundup**, fp32",
    "ours_f32_compiled": "**groundup**, fp32, compiled",
    "ours_int8": "**groundup**, int8",
    "ours_int8_compiled": "**groundup**, int8, compiled",
    "ours_int4": "**groundup**, int4",
    "ours_no_cache": "groundup, fp32, without its cache",
    "transformers": "transformers, fp32",
    "litgpt": "litgpt, fp32",
    "llama_f32": "llama.cpp F32",
    "llama_bf16": "llama.cpp BF16",
    "llama_q8_0": "llama.cpp Q8_0",
    "llama_q4_0": "llama.cpp Q4_0",
}


def table(result: Record) -> str:
    parts = [one(result, "Writing with gpt2-124m", "Random weights, the same in our runs and")]
    if "real" in result:
        name = result["real"]["setting"]["preset"]
        parts.append(
            one(result["real"], f"Writing with {name}", "Its own weights, in our runs and")
        )
    return "\n\n".join(parts)


def one(result: Record, title: str, weights: str) -> str:
    setting, ceilings, facts = result["setting"], result["ceilings"], result["machine"]
    rows = [
        "| | tokens/s, alone | of the limit | tokens/s, batch 16 | reading 512, tokens/s "
        "| peak memory, MiB | |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, label in SPEAKER_NAMES.items():
        if result["missing"].get(name, "").startswith("with random"):
            continue
        if name in result["missing"]:
            rows.append(f"| {label} | {result['missing'][name]} | | | | | |")
            continue
        s = result["summary"][name]
        cells = [
            label,
            spread(s["alone"], "{:,.1f}"),
            f"{s['fraction_of_limit']:.0%}",
            spread(s["batch"], "{:,.0f}") if "batch" in s else "",
            spread(s["prefill"], "{:,.0f}"),
            spread(s["peak_memory_mib"], "{:,.0f}"),
            s["note"],
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            f"### {title}",
            "",
            f"{weights} the GGUF files; 32 tokens of prompt and 128 "
            f"new ones, greedy, end to end; {setting['threads']} threads, {setting['rounds']} "
            f"rounds, the median of {setting['tries']} tries in each. The limit is the rate at "
            "which memory is read, over the bytes of the weights that each token multiplies.",
            "",
            f"Machine: {facts['cpu']}, {facts['cores']} cores, {facts['instructions']}; PyTorch "
            f"{facts['torch']}; memory read at {ceilings['read_bytes'] / 1e9:.1f} GB/s."
            f"{beside(result)}",
            "",
            *rows,
        ]
    )
