"""Assistants, measured.

    python -m benchmarks.instructing answers --work tuning/  # SmolLM2, asked, shown and taught
    python -m benchmarks.instructing reward --work tuning/   # a reward beside answers: 35 minutes
    python -m benchmarks.instructing speed --work tuning/    # beside trl, transformers and peft
    python -m benchmarks.instructing memory --work tuning/   # beside what was planned

Every cell is a process of its own; its result is kept in WORK/cells as it comes, and the same
command goes on. Of `speed`, the peer may have an environment of its own (`--peer-python`): one with
the same PyTorch, transformers, peft, trl, and what groundup needs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.assistant import answers, memory, reward, speed
from benchmarks.report import publish
from groundup.data.tasks import KINDS
from groundup.finetune.settings import INSTRUCT_EPOCHS

SUITES = {
    "answers": answers.measure,
    "reward": reward.measure,
    "speed": speed.measure,
    "memory": memory.measure,
}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructing")
    parser.add_argument("suite", choices=list(SUITES))
    parser.add_argument("--work", type=Path, required=True, help="where all of it is kept")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--kind", choices=list(KINDS), default="count-items", help="of the tasks")
    parser.add_argument("--pretrain", type=float, default=6, help="minutes of the small GPT")
    parser.add_argument("--minutes", type=float, default=3, help="of each way, of reward")
    parser.add_argument(
        "--epochs", type=float, default=INSTRUCT_EPOCHS, help="passes of each way, of answers"
    )
    parser.add_argument("--mix", metavar="TEXT", help="to go on learning beside answers")
    parser.add_argument("--rate", type=float, help="from a reward [default: chosen by groundup]")
    parser.add_argument("--rounds", type=int, default=3, help="turns of speed")
    parser.add_argument("--steps", type=int, default=8, help="timed steps in a turn of speed")
    parser.add_argument(
        "--peer-python", type=Path, help="the python of an environment with trl, for speed"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of a cell")
    parser.add_argument("--quick", action="store_true", help="tiny: only checks that it all runs")
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    options = parser.parse_args(words)
    options.work = options.work.resolve()
    if (python := options.peer_python) is not None:
        if not python.exists():
            parser.error(f"--peer-python {python}: no such path")
        options.peer_python = python.absolute()  # not resolved: an environment's python is a link
    if options.quick:
        options.seeds, options.pretrain = 1, 0.3
        options.rounds, options.steps = 1, 2
        options.out = options.out or options.work / "quick"
    options.work.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    options = parse()
    publish(f"instructing_{options.suite}", SUITES[options.suite](options), options)
