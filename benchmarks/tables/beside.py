"""Fine-tuning beside transformers with peft, case by case."""

from __future__ import annotations

from benchmarks.beside.turns import PEERS
from benchmarks.tables.parts import spread
from benchmarks.turns import Record


def speed_rows(result: Record) -> list[str]:
    """Return a table of speed and memory; ratios are to the better of theirs."""
    peers = [who for who in PEERS if who in result["rows"][0]["tokens_per_second"]]
    more = [PEERS[who] for who in peers[1:]]
    head = ["what learns", "fp32: groundup, tokens/s", PEERS[peers[0]], *more, "ratio"]
    head += ["as it chooses", "better of theirs, fp32 or bf16", "ratio"]
    head += ["fp32: MiB", "theirs", *more, "ratio", "planned", "losses differ by"]
    return [_line(head), "|" + "---|" * len(head), *(_row(row, peers) for row in result["rows"])]


def _row(row: Record, peers: list[str]) -> str:
    rates, memory = row["tokens_per_second"], row["peak_memory_mib"]
    chosen = ", ".join(f"{row['chosen'].count(p)} × {p}" for p in sorted(set(row["chosen"])))
    theirs = max((rates[who] for who in (*peers, "peer_bf16")), key=lambda rate: rate["median"])
    return _line(
        [
            row["title"],
            *(spread(rates[who], "{:,.0f}") for who in ("ours", *peers)),
            spread(row["speed_ratio"], "{:.2f}"),
            f"{chosen}: {spread(rates['ours_chosen'], '{:,.0f}')}",
            spread(theirs, "{:,.0f}"),
            spread(row["chosen_ratio"], "{:.2f}"),
            *(spread(memory[who], "{:,.0f}") for who in ("ours", *peers)),
            spread(row["memory_ratio"], "{:.2f}"),
            f"{row['planned_mib']:,.0f}",
            f"{row['loss_difference']:.1e}",
        ]
    )


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
