"""`python -m benchmarks`: every measurement, one after the other, and the page of results."""

from __future__ import annotations

import argparse

from benchmarks import generation, speedrun, startup, tokenizing, training
from benchmarks.report import publish
from benchmarks.turns import parse


def main() -> None:
    options = parse()
    for part in (training, generation, startup, tokenizing):
        publish(part.__name__.rpartition(".")[2], part.measure(options), options)
    # The whole speedrun is a command of its own.
    short = argparse.Namespace(**{**vars(options), "rounds": min(options.rounds, 2)})
    publish("speedrun", speedrun.measure(short), short)


if __name__ == "__main__":
    main()
