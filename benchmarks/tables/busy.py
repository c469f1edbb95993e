"""A training beside other programs."""

from __future__ import annotations

from benchmarks.tables.parts import machine
from benchmarks.turns import Record

LEAST = {1: 0.7, 2: 0.7, 6: 0.55}


def table(result: Record) -> str:
    whole = 60 * result["minutes"]
    rows = [
        "| busy processes | they come and go | learnt, of the fair share | at least | ends after | "
        "of its time | bits per byte |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in result["cells"]:
        if cell["source"] != "ours":
            continue
        n, least = cell["n"], LEAST.get(cell["n"])
        others = [other for other in result["cells"] if other["source"] != "ours"]
        before = [c for c in others if (c["n"], c["when"]) == (n, cell["when"])]
        was = "".join(f" (was {c['share']:.2f})" for c in before)
        took = "".join(f" (was {c['seconds']:.0f})" for c in before)
        rows.append(
            f"| {n or 'none'} | {cell['when']} | {cell['share']:.2f}{was} "
            f"| {'' if least is None else least} | {cell['seconds']:.1f} s{took} "
            f"| {cell['seconds'] / whole:.3f} | {cell['bits_per_byte']:.3f} |"
        )
    minutes = f"{result['minutes']:g}"
    head = f"`groundup train --minutes {minutes} --preset nano`, beside programs that compute"
    return "\n".join(["### Beside busy programs", "", machine(result), "", head, "", *rows])
