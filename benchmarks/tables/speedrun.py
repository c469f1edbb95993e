"""How soon a validation loss is reached."""

from __future__ import annotations

from benchmarks.tables.parts import machine, spread
from benchmarks.turns import Record

SPEEDRUN_NAMES = {
    "ours": "**groundup**",
    "nanogpt": "nanoGPT, its README's CPU recipe",
    "plain": "plain eager GPT-2, the same recipe",
}


def table(result: Record) -> str:
    setting, target = result["setting"], result["setting"]["target"]
    rows = [
        "| | wall time, s | mean, with its 95% interval | groundup's time | validation loss | mean "
        f"| runs at or below {target} | p of a mean above | tokens seen | peak memory, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, s in sorted(result["summary"].items(), key=lambda item: item[0] != "ours"):
        sure = s["seconds_confidence_95"]
        cells = [
            SPEEDRUN_NAMES[name],
            spread(s["wall_seconds"], "{:.1f}"),
            f"{s['mean_seconds']:.1f}" + (f" ({sure[0]:.1f} to {sure[1]:.1f})" if sure else ""),
            "" if name == "ours" else spread(s["our_time_ratio"], "{:.3f}") + " ×",
            spread(s["val_loss"], "{:.4f}"),
            f"{s['mean_loss']:.4f}",
            f"{s['seeds_below']} of {len(result['contestants'][name])}",
            "" if s["p_value"] is None else f"{s['p_value']:.1g}",
            f"{s['tokens']:,}",
            spread(s["peak_memory_mib"], "{:,.0f}"),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            f"### Speedrun: characters of tinyshakespeare to {target}",
            "",
            "Loss over the whole last tenth of the text in windows of "
            f"{setting['window']} (nats a character); wall time of the whole process, imports, "
            f"tokenizing and validation included; {setting['threads']} threads, "
            f"{setting['rounds']} rounds, each of two seeds of ours and the reference, whose seed "
            "is fixed in its code.",
            "",
            machine(result),
            "",
            *rows,
            "",
            "```",
            result["contestants"]["ours"][0]["command"],
            "```",
        ]
    )


def long_table(result: Record) -> str:
    setting, s = result["setting"], result["summary"]
    rows = [
        f"| {r['seed']} | {r['wall_seconds'] / 60:.1f} | {r['val_loss']:.4f} | {r['tokens']:,} |"
        for r in result["seeds"]
    ]
    sure = "" if s["p_value"] is None else f", p of a mean above {s['p_value']:.1g}"
    return "\n".join(
        [
            f"### Speedrun: characters of tinyshakespeare to {setting['target']}",
            "",
            "The best of nanoGPT's GPU recipe after three minutes on an A100, quoted. Loss over "
            f"the whole last tenth of the text in windows of {setting['window']}; wall time of all "
            f"slices of a run; {setting['threads']} threads. Mean loss {s['mean_loss']:.4f}, "
            f"{s['seeds_below']} of {len(rows)} at or below the target{sure}.",
            "",
            machine(result),
            "",
            "| seed | wall time, minutes | validation loss | tokens seen |",
            "|---|---|---|---|",
            *rows,
            "",
            "```",
            result["seeds"][0]["command"],
            "```",
        ]
    )
