"""What the default optimizer is worth on several texts and sizes, in both number formats."""

from __future__ import annotations

from benchmarks.turns import Record


def table(result: Record) -> str:
    rows = [
        "| text | preset | Muon, mean loss | Muon in bf16 | AdamW | bf16 against fp32, by seed |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["summary"]:
        means, losses = row["means"], row["losses"]
        pairs = zip(losses["muon"], losses["muon, bf16"], strict=True)
        gains = ", ".join(f"{narrow - wide:+.3f}" for wide, narrow in pairs)
        rows.append(
            f"| {row['text']} | {row['size']} | {means['muon']:.3f} | {means['muon, bf16']:.3f} "
            f"| {means['adamw']:.3f} | {gains} |"
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
