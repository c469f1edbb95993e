"""Training and writing on a GPU."""

from __future__ import annotations

from benchmarks.tables.parts import spread
from benchmarks.turns import Record


def table(result: Record) -> str:
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
