"""What the default optimizer is worth on other texts and at other sizes."""

from __future__ import annotations

from benchmarks.turns import Record


def table(result: Record) -> str:
    rows = [
        "| text | preset | Muon, mean loss | AdamW, mean loss | seeds that Muon wins |",
        "|---|---|---|---|---|",
    ]
    for row in result["summary"]:
        means, n_seeds = row["means"], len(row["losses"]["muon"])
        rows.append(
            f"| {row['text']} | {row['size']} | {means['muon']:.3f} | {means['adamw']:.3f} "
            f"| {row['better']} of {n_seeds} |"
        )
    sizes = ", ".join(
        f"{name} {s['steps']} steps of {s['batch_size']} sequences"
        for name, s in result["sizes"].items()
    )
    return "\n".join(
        [
            "### Muon beside AdamW",
            "",
            f"Loss over the whole validation split, nats a token of BPE; {sizes}; each optimizer "
            "with the learning rates that `groundup train` chooses.",
            "",
            *rows,
        ]
    )
