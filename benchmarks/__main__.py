"""`python -m benchmarks`: every measurement, one after the other, and the page of results."""

from __future__ import annotations

import argparse

from benchmarks import generation, speedrun, startup, tokenizing, training
from benchmarks.report import publish
from benchmarks.turns import parse

ROUNDS = {training: 2, generation: 1, startup: 3, tokenizing: 2, speedrun: 1}
"""Rounds of each at most, so that all fit in 20 minutes; alone, each takes those it is told."""


def main() -> None:
    options = parse()
    for part, rounds in ROUNDS.items():
        short = argparse.Namespace(**{**vars(options), "rounds": min(options.rounds, rounds)})
        publish(part.__name__.rpartition(".")[2], part.measure(short), short)


if __name__ == "__main__":
    main()
