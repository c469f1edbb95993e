"""Start-up, lookup and memory."""

from __future__ import annotations

from benchmarks.tables.parts import machine, spread
from benchmarks.turns import Record

LOOKUP_LEAST = {"repeats, greedy": "1.50 ×", "does not": "0.95 ×"}


def table(result: Record) -> str:
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
    if one := s.get("one_token_ratio"):
        rows.append(
            "| a whole process that writes one token, over one that imports torch "
            f"| {spread(one, '{:.2f}')} × | 1.08 × |"
        )
    if "missing" in lookup:
        rows.append(f"| lookup | {lookup['missing']} | |")
    for name, ratio in s["lookup"].items():
        least = LOOKUP_LEAST.get(name, "")
        rows.append(
            f"| speed with lookup over without, {lookup['parameters']:,} parameters, a text that "
            f"{name} | {spread(ratio, '{:.2f}')} × | {least} |"
        )
    return "\n".join(["### Start-up, lookup and memory", "", machine(result), "", *rows])
