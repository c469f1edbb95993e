"""What checkpoints and exact sums cost."""

from __future__ import annotations

from benchmarks.turns import Record


def table(result: Record) -> str:
    rows = ["| preset | run | seconds | ratio | share of saving |", "|---|---|---|---|---|"]
    for row in result["rows"]:
        wholes = [whole for whole, _ in row["turns"]]
        low, high = min(wholes), max(wholes)
        rows.append(
            f"| {row['size']}, {row['steps']} steps | {row['name']} | {row['seconds']:.1f} "
            f"({low:.1f} to {high:.1f}) | {row['ratio']:.2f} | {row['saving']:.2%} |"
        )
    machine = result["machine"]
    return "\n".join(
        [
            "### What safety costs",
            "",
            f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['instructions']}. All "
            "steps and checkpoints of runs, without validations; medians of "
            f"{len(result['rows'][0]['turns'])} turns.",
            "",
            *rows,
        ]
    )
