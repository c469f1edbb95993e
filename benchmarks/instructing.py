"""Assistants, measured.

    python -m benchmarks.instructing answers --work tuning/  # SmolLM2, asked, shown and taught
    python -m benchmarks.instructing reward --work tuning/   # a reward beside answers: 55 minutes

Every cell is a process of its own; its result is kept in WORK/cells as it comes, and the same
command goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.assistant import answers, reward
from benchmarks.report import publish
from groundup.data.tasks import KINDS

SUITES = {"answers": answers.measure, "reward": reward.measure}
MINUTES = {"answers": 22.0, "reward": 5.0}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructing")
    parser.add_argument("suite", choices=list(SUITES))
    parser.add_argument("--work", type=Path, required=True, help="where all of it is kept")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--kind", choices=list(KINDS), default="compare", help="of the tasks")
    parser.add_argument("--pretrain", type=float, default=8, help="minutes of the small GPT")
    parser.add_argument(
        "--minutes", type=float, help="of each way to learn [default: 22 of answers, 5 of reward]"
    )
    parser.add_argument("--mix", metavar="TEXT", help="to go on learning beside answers")
    parser.add_argument("--rate", type=float, help="from a reward [default: chosen by groundup]")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of a cell")
    parser.add_argument("--quick", action="store_true", help="tiny: only checks that it all runs")
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    options = parser.parse_args(words)
    options.work = options.work.resolve()
    options.minutes = options.minutes or MINUTES[options.suite]
    if options.quick:
        options.seeds, options.pretrain = 1, 0.3
        options.out = options.out or options.work / "quick"
    options.work.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    options = parse()
    publish(f"instructing_{options.suite}", SUITES[options.suite](options), options)
