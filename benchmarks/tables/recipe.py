"""What a time budget brings, beside an older state of the defaults."""

from __future__ import annotations

import statistics

from benchmarks.tables.parts import machine
from benchmarks.turns import Record


def table(result: Record) -> str:
    rows = [
        "| text | minutes | before, bits a byte | now | ratio | by seed | tokens before | now |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in result["cells"]:
        pairs = zip(cell["before_runs"], cell["now_runs"], strict=True)
        by_seed = ", ".join(f"{now / before:.3f}" for before, now in pairs)
        rows.append(
            f"| {cell['text']} | {cell['minutes']:g} | {cell['before']:.3f} | {cell['now']:.3f} "
            f"| {cell['ratio']:.3f} | {by_seed} | {cell['before_tokens']:,.0f} "
            f"| {cell['now_tokens']:,.0f} |"
        )
    mean = statistics.fmean(cell["ratio"] for cell in result["cells"])
    said = (
        "`groundup train TEXT --minutes M`, all else by default, beside an older state; means of "
        f"the seeds of each row. The mean of the ratios is {mean:.3f}."
    )
    return "\n".join(["### A time budget", "", machine(result), "", said, "", *rows])
