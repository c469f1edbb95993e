"""Windows and soft caps, by the length of the context."""

from __future__ import annotations

from benchmarks.tables.parts import machine
from benchmarks.turns import Record


def table(result: Record) -> str:
    lengths, summary, setting = result["setting"]["lengths"], result["summary"], result["setting"]
    heads = " | ".join(f"{length:,} tokens" for length in lengths)
    rows = [f"| | {heads} | a doubling |", "|---|" + "---|" * (len(lengths) + 1)]
    for kind in dict.fromkeys(name.rpartition(" at ")[0] for name in summary):
        cells = [summary[f"{kind} at {length}"] for length in lengths]
        shown = [f"{c['ms']['median']:,.0f} ms, {c['mib']:,.0f} MiB" for c in cells]
        times = cells[-1]["ms"]["median"] / cells[-2]["ms"]["median"]
        memory = cells[-1]["mib"] / cells[-2]["mib"]
        rows.append(f"| {kind} | {' | '.join(shown)} | time × {times:.1f}, memory × {memory:.1f} |")
    ratios = [cell["of_plan"] for name, cell in summary.items() if not name.startswith("before")]
    shape = result["shape"]
    return "\n".join(
        [
            "### Windows and soft caps",
            "",
            f"Forward and backward of one text in training, {shape['n_layers']} layers, "
            f"{shape['emb_dim']} wide, {shape['n_heads']} heads, {setting['threads']} thread(s), "
            f"medians of {setting['rounds']} turns of two steps; memory is the peak over the "
            "process before its first step. A doubling is the last one. Of the process's peak that "
            f"was planned it took {min(ratios):.2f} to {max(ratios):.2f} times.",
            "",
            machine(result),
            "",
            *rows,
        ]
    )
