"""`python -m benchmarks`: every measurement, one after the other, and the page of results."""

from __future__ import annotations

from benchmarks import speedrun, training
from benchmarks.report import publish
from benchmarks.turns import parse


def main() -> None:
    options = parse()
    publish("training", training.measure(options), options)
    options.rounds = min(options.rounds, 2)  # the whole speedrun is a command of its own
    publish("speedrun", speedrun.measure(options), options)


if __name__ == "__main__":
    main()
