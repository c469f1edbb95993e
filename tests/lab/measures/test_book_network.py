"""The book's demonstration: its figures, and the gradients that enter layers, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from groundup.lab.conclusions.book_network import BOOK_FIGURES, BOOK_SEED, WITH, WITHOUT
from groundup.lab.experiment import Cell, Results, Values
from groundup.lab.experiments.shortcut import book_study
from groundup.lab.measures.book_network import measure_book_network


def measured(seeds: list[int]) -> dict[Cell, Values]:
    study = book_study()
    return {
        cell: measure_book_network(study.setting(cell, 65, "no text is read"))
        for cell in study.cells()
        if cell.seed in seeds
    }


def by_hand(seed: int, shortcuts: bool) -> tuple[list[float], list[float]]:
    """Weights' mean absolute gradients and entering gradients, written with matrices alone."""
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(3, width) for width in (3, 3, 3, 3, 1)]
    x, left = torch.tensor([[1.0, 0.0, -1.0]]), []
    for i, layer in enumerate(layers):
        z = x @ layer.weight.T + layer.bias
        inner = math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)
        y = 0.5 * z * (1 + torch.tanh(inner))
        x = x + y if shortcuts and i < 4 else y
        left.append(x)
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad((x**2).mean(), [*weights, *left])
    return [g.abs().mean().item() for g in gradients[:5]], [g.norm().item() for g in gradients[5:]]


@pytest.mark.parametrize("arm", [WITHOUT, WITH])
@pytest.mark.parametrize("seed", [BOOK_SEED, 7])
def test_gradients_are_those_by_hand(arm, seed):
    values = measured([seed])[Cell("book", arm, 0.0, seed)]
    weights, entering = by_hand(seed, arm == WITH)
    assert values["weight_gradients"] == pytest.approx(weights, rel=1e-5)
    assert values["entering_gradients"] == pytest.approx(entering, rel=1e-5)


def test_the_ten_figures_of_the_book_come_out():
    for arm, figures in BOOK_FIGURES.items():
        values = measured([BOOK_SEED])[Cell("book", arm, 0.0, BOOK_SEED)]
        assert values["weight_gradients"] == pytest.approx(figures, rel=1e-5)


def test_the_whole_study_comes_out_and_one_wrong_figure_is_told():
    study = book_study()
    values = measured(list(study.seeds))
    finding = study.conclude(Results(study, values))
    assert finding.came_out
    assert finding.verdict.startswith("10 of the book's 10 figures come out at seed 123.")
    assert (
        finding.figures["factor_a_layer"][WITHOUT] < 0.5 < finding.figures["factor_a_layer"][WITH]
    )
    cell = Cell("book", WITH, 0.0, BOOK_SEED)
    first, *others = values[cell]["weight_gradients"]
    values[cell] = {**values[cell], "weight_gradients": [first * 1.0001, *others]}
    finding = study.conclude(Results(study, values))
    assert not finding.came_out
    assert finding.verdict.startswith("9 of the book's 10")
