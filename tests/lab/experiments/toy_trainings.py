"""Experiments at toy size: a text of few characters, and studies with a few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from groundup.lab.experiment import Arm, Cell, Results, Setting, Study, Values
from groundup.lab.measures.text import read_text
from tests.texts import text_file

TOY = {"context_length": 16, "emb_dim": 16, "n_heads": 2, "n_layers": 1}


def toy(study: Study, steps: int = 6, **fields: Any) -> Study:
    """Return a study with a tiny model, few steps and small batches, where it does not say so."""
    train = {**study.train, "steps": steps, "batch_size": 2}
    return replace(study, model={**study.model, **TOY}, train=train, **fields)


def settings(study: Study, folder: Path) -> dict[Cell, Setting]:
    """Return what the cells of a study measure, on a toy text."""
    name = str(text_file(folder, 1500))
    size = read_text(name).tokenizer.vocab_size
    return {cell: study.setting(cell, size, name) for cell in study.cells()}


def measured(study: Study, folder: Path) -> Results:
    """Return the results of all cells of a study, measured on a toy text."""
    found = settings(study, folder)
    return Results(study, {cell: study.measure(setting) for cell, setting in found.items()})


def made(study: Study, values: Callable[[Cell], Values]) -> Results:
    """Return results of a study, made up by a function of the cell."""
    return Results(study, {cell: values(cell) for cell in study.cells()})


def losses(by_arm: Mapping[str, float]) -> Callable[[Cell], Values]:
    """Return values of which the loss is that of the arm, and a little else for each seed."""

    def values(cell: Cell) -> Values:
        jitter = 0.001 * ((cell.seed * 7 + len(cell.arm)) % 5)
        loss = by_arm[cell.arm] + jitter
        return run(loss)

    return values


def run(loss: float, start: float = 4.0, n: int = 50, **more: Any) -> Values:
    """Return what a training measures that fell in a straight line from `start` to `loss`."""
    curve = [start + (loss - start) * i / n for i in range(1, n + 1)]
    return {
        "train_loss": loss,
        "val_loss": loss,
        "trains": True,
        "lost": False,
        "curve_steps": list(range(10, 10 * n + 1, 10)),
        "curve": curve,
        "unigram_entropy": 3.3,
        "cpu_seconds": 2.0,
        **more,
    }


def names(arms: Sequence[Arm]) -> list[str]:
    """Return the names of arms."""
    return [arm.name for arm in arms]
