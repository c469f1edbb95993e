"""Text to ids."""

from __future__ import annotations

from benchmarks.tables.parts import machine, spread
from benchmarks.turns import Record

TOKENIZING_NAMES = {"ours": "**groundup**", "tiktoken": "tiktoken", "tokenizers": "tokenizers"}
TOKENIZING_TASKS = {
    "encode gpt2": "GPT-2's vocabulary",
    "encode own": "a vocabulary of its own",
    "pipeline": "from file to shards (tiktoken: only its ids)",
    "train": "learning a vocabulary",
}


def table(result: Record) -> str:
    setting, sizes = result["setting"], result["setting"]["bytes"]
    rows = ["| | MB/s a core | groundup's speed | peak memory, MiB |", "|---|---|---|---|"]
    for task, title in TOKENIZING_TASKS.items():
        for name, s in result["summary"][task].items():
            cells = [
                f"{title}: {TOKENIZING_NAMES[name]}",
                spread(s["rate"], "{:.1f}"),
                "" if name == "ours" else spread(s["our_ratio"], "{:.2f}") + " ×",
                spread(s["peak_memory_mib"], "{:,.0f}"),
            ]
            rows.append("| " + " | ".join(cells) + " |")
    seconds = result["summary"]["train"]["ours"]["seconds"]["median"]
    return "\n".join(
        [
            "### Text to ids",
            "",
            f"{sizes['short'] / 1e6:.0f} MB of the named texts in pieces of 256 Ki characters; a "
            f"file of {sizes['long'] / 1e6:.0f} MB all the way; by CPU time, {setting['rounds']} "
            f"rounds. Learning a vocabulary of {setting['vocab_size']:,} from "
            f"{sizes['varied'] / 1e6:.0f} MB, on two threads and once, by wall time, took "
            f"groundup {seconds:.1f} s.",
            "",
            machine(result),
            "",
            *rows,
        ]
    )
