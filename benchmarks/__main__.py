"""`python -m benchmarks`: every measurement, one after the other, and the page of results."""

from __future__ import annotations

from benchmarks import shakespeare, startup, tokenizing, training
from benchmarks.report import publish
from benchmarks.turns import parse


def main() -> None:
    options = parse()
    publish("training", training.measure(options), options)
    publish("startup", startup.measure(options), options)
    publish("shakespeare", shakespeare.measure(options), options)
    publish("tokenizing", tokenizing.measure(options), options)


if __name__ == "__main__":
    main()
