"""Results as a study's conclusion gets them: made up, or measured at toy size on a toy text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Cell,
    Finding,
    Prediction,
    Results,
    Setting,
    Study,
    Values,
)
from groundup.lab.measures.text import read_text
from tests.texts import text_file

TOY = {"context_length": 16, "emb_dim": 16, "n_heads": 2, "n_layers": 1}
VOCABULARY = 69


def _not_run(setting: Setting) -> Values:
    raise AssertionError("a conclusion measures nothing")


def _not_concluded(results: Results) -> Finding:
    raise AssertionError


def made_up(
    values: Mapping[str, Sequence[Any]] | Mapping[str, Mapping[float, Sequence[Any]]],
    metric: str = "val_loss",
    **fields: Any,
) -> Results:
    """Return results of arms: a metric (or, as dictionaries, several) a seed, at each x if any."""
    by_x: dict[str, dict[float, Sequence[Any]]] = {
        arm: dict(one) if isinstance(one, Mapping) else {0.0: one} for arm, one in values.items()
    }
    first = next(iter(by_x.values()))
    study = Study(
        **{
            "name": "made-up",
            "title": "Made up",
            "kind": TRAINED,
            "prediction": Prediction(says="nothing", source="ours"),
            "equal": "all else",
            "measured": "nothing",
            "arms": [Arm(name=name) for name in by_x],
            "seeds": tuple(range(1, 1 + len(next(iter(first.values()))))),
            "xs": tuple(first),
            "measure": _not_run,
            "conclude": _not_concluded,
            **fields,
        }
    )
    return Results(
        study,
        {
            Cell(study.name, arm, x, seed): value if isinstance(value, dict) else {metric: value}
            for arm, one in by_x.items()
            for x, numbers in one.items()
            for seed, value in zip(study.seeds, numbers, strict=True)
        },
    )


def toy(study: Study, steps: int = 6, **fields: Any) -> Study:
    """Return a study with a tiny model, few steps and small batches, where it does not say so."""
    train = {**study.train, "steps": steps, "batch_size": 2}
    return replace(study, model={**study.model, **TOY}, train=train, **fields)


def few(study: Study) -> Study:
    """Return a toy of a study with few seeds and the first of its values, or small sizes."""
    n_seeds = 1 if study.kind == TRAINED and len(study.xs) > 1 else 2
    xs = (8.0, 16.0) if study.x_name in ("depth", "width") else study.xs
    return toy(study, steps=3, seeds=study.seeds[:n_seeds], xs=xs[: len(study.xs)][:2])


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


def named(studies: Sequence[Study], name: str) -> Study:
    """Return the study of a name."""
    return next(study for study in studies if study.name == name)


def trained_tokens(studies: Sequence[Study]) -> int:
    """Return how many tokens all trainings of an experiment learn from."""
    total = 0
    for study in studies:
        for cell in study.cells() if study.kind == TRAINED else ():
            setting = study.setting(cell, VOCABULARY, "")
            rows = setting.train.steps * setting.train.sequences_per_step
            total += rows * setting.config.context_length
    return total


def concluded(studies: Sequence[Study], name: str, values: Callable[[Cell], Values]) -> Finding:
    """Return what a study of a name concludes from results that a function of the cell makes up."""
    study = named(studies, name)
    return study.conclude(made(study, values))
