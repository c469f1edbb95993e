"""Training, the same mathematics."""

from __future__ import annotations

from benchmarks.tables.parts import machine, spread
from benchmarks.turns import Record

NAMES = {
    "ours": "**groundup**",
    "plain": "plain eager GPT-2",
    "nanogpt": "nanoGPT",
    "transformers": "transformers (sdpa)",
    "litgpt": "litgpt",
    "llms_from_scratch": "llms-from-scratch",
}
HELPS = {
    "": "as published",
    "fused": "fused AdamW",
    "kept": "fused AdamW, our allocator's setting",
    "bf16": "the same, bf16 by autocast",
}


def table(result: Record) -> str:
    return _table("Training, the same mathematics", result)


def long_table(result: Record) -> str:
    return _table("Longer training at a long context, the same mathematics", result)


def large_table(result: Record) -> str:
    return _table("Training at 124M beside all peers, the same mathematics", result)


def _table(title: str, result: Record) -> str:
    setting, ceilings = result["setting"], result["ceilings"]
    lines = [
        f"### {title}",
        "",
        "GPT-2's architecture, AdamW, gradient clipped to norm 1, "
        f"{setting['threads']} threads. A row says what a peer was given: fused AdamW takes one "
        "pass over all weights, and our allocator's setting keeps freed memory for the next step. "
        "groundup's speed and memory are those in the same number format. The GEMM peak is the "
        "best square matrix product of the same round, in that format.",
        "",
        machine(result) + f" bf16 products {ceilings['bf16_flops'] / 1e9:,.0f} GFLOP/s.",
    ]
    for name, summary in result["summary"].items():
        lines += _case(name, summary, result)
    return "\n".join([*lines, "", *_absent(result["missing"])]).rstrip()


def _case(name: str, summary: dict[str, Record], result: Record) -> list[str]:
    job, turns = result["jobs"][f"{name}/ours"], result["contestants"][f"{name}/ours"]
    shape, steps = job["shape"], job["steps"] - job["warm_up"]
    return [
        "",
        f"#### {shape['n_layers']} layers, {shape['emb_dim']} wide, "
        f"{job['batch_size']} × {job['window']:,} tokens",
        "",
        f"{summary['ours']['parameters']:,} parameters (tied, query-key-value bias), vocabulary "
        f"{shape['vocab_size']:,}; {steps} timed steps a turn after {job['warm_up']} to warm up; "
        f"{len(turns)} round{'s' * (len(turns) > 1)}.",
        "",
        "| | tokens/s | of the GEMM peak | groundup's speed | peak memory, MiB "
        "| groundup's memory |",
        "|---|---|---|---|---|---|",
        *(_row(contestant, s, summary["ours"]["chooses"]) for contestant, s in summary.items()),
    ]


def _row(contestant: str, s: Record, chosen: list[str]) -> str:
    theirs = not contestant.startswith("ours")
    cells = [
        _label(contestant) if theirs else f"{NAMES['ours']}, {s['precision']}{_choice(s, chosen)}",
        spread(s["tokens_per_second"], "{:,.0f}"),
        spread(s["fraction_of_peak"], "{:.0%}"),
        spread(s["our_speed_ratio"], "{:.2f}") + " ×" if theirs else "",
        spread(s["peak_memory_mib"], "{:,.0f}"),
        spread(s["our_memory_ratio"], "{:.2f}") + " ×" if theirs else "",
    ]
    return "| " + " | ".join(cells) + " |"


def _label(contestant: str) -> str:
    who, _, form = contestant.partition("-")
    return f"{NAMES[who]}, {HELPS[form]}"


def _choice(s: Record, chosen: list[str]) -> str:
    """Say so where this is what groundup chooses for itself."""
    n = chosen.count(s["precision"])
    return f" (its own choice, {n} of {len(chosen)} times)" if n else ""


def _absent(missing: dict[str, str]) -> list[str]:
    """Return a line for each reason, and who is not there because of it."""
    who: dict[str, list[str]] = {}
    for name, why in missing.items():
        who.setdefault(why, []).append(NAMES.get(name) or f"{NAMES[name.partition('-')[0]]}, bf16")
    return [f"{', '.join(names)}: {why}." for why, names in who.items()]
