"""The demonstration of shortcuts in "Build a Large Language Model (From Scratch)", section 4.4.

Raschka (2024): five layers of a linear map and a GELU, three inputs, one output, the gradient of a
squared error; with and without a shortcut around each layer that keeps its width.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.lab.conclusions.statistics import t_interval
from groundup.lab.experiment import (
    AT_INITIALISATION,
    Arm,
    Finding,
    Prediction,
    Results,
    Setting,
    Study,
    Table,
    Values,
)

LAYER_SIZES = (3, 3, 3, 3, 3, 1)
INPUT = (1.0, 0.0, -1.0)
TARGET = 0.0
BOOK_SEED = 123
WITHOUT, WITH = "no shortcuts", "shortcuts"
BOOK_FIGURES = {
    WITHOUT: (0.000201736, 0.000120112, 0.000715204, 0.00139887, 0.00504965),
    WITH: (0.221698, 0.206941, 0.328970, 0.266573, 1.32585),
}
"""Mean absolute value of each layer's weight gradients at `BOOK_SEED`, six digits."""
EQUAL_DIGITS = 1e-5
"""Relative tolerance of the comparison: half a unit of the sixth digit, and a little rounding."""
WITH_EXPECTED = 0.9
"""A layer with a shortcut passes at least this share of the gradient on."""


class BookNetwork(nn.Module):
    """Layers of a linear map and a GELU, each added to its input where `shortcuts` says so."""

    def __init__(self, shortcuts: bool) -> None:
        super().__init__()
        self.shortcuts = shortcuts
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(LAYER_SIZES))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the output (B, 1) of `x` (B, 3), and what leaves each layer, with gradients."""
        made = []
        for layer in self.layers:
            y = F.gelu(layer(x), approximate="tanh")
            x = x + y if self.shortcuts and x.shape == y.shape else y
            x.retain_grad()
            made.append(x)
        return x, made


def measure_book_network(setting: Setting) -> Values:
    """Return the gradients in the network that a seed makes, from the first layer to the last.

    weight_gradients: mean absolute value of the gradient of each layer's weights;
    entering_gradients: Euclidean norm of the gradient that enters each layer, going backwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.cell.seed)
        network = BookNetwork(setting.options["shortcuts"])
    output, made = network(torch.tensor([INPUT]))
    F.mse_loss(output, torch.tensor([[TARGET]])).backward()  # type: ignore[no-untyped-call]
    weights = [_gradient(layer.weight) for layer in network.layers]
    return {
        "weight_gradients": [gradient.abs().mean().item() for gradient in weights],
        "entering_gradients": [_gradient(x).norm().item() for x in made],
    }


def _gradient(tensor: object) -> Tensor:
    assert isinstance(tensor, Tensor)
    assert tensor.grad is not None
    return tensor.grad


def conclude_book_network(results: Results) -> Finding:
    """Conclude whether the book's figures come out, and what other seeds show."""
    equal = sum(sum(_equal(results, arm)) for arm in BOOK_FIGURES)
    factors = {arm: _factors(results, arm) for arm in BOOK_FIGURES}
    (without, *below), (with_them, *above) = (t_interval(factors[arm]) for arm in BOOK_FIGURES)
    n_figures = sum(map(len, BOOK_FIGURES.values()))
    return Finding(
        verdict=(
            f"{equal} of the book's {n_figures} figures come out at seed {BOOK_SEED}. Over "
            f"{len(factors[WITH])} other seeds the gradient shrinks to {math.exp(without):.2f} of "
            f"itself from layer to layer without shortcuts (95% interval {_range(below)}) and to "
            f"{math.exp(with_them):.2f} with them ({_range(above)}); the last layer, which "
            "has none, is left out."
        ),
        came_out=(
            equal == n_figures
            and math.exp(below[1]) < WITH_EXPECTED
            and math.exp(with_them) >= WITH_EXPECTED
        ),
        tables=[_table(results)],
        notes=[
            "This network has no norms. The book looks at the gradients of the weights; what "
            "fades from layer to layer is the gradient that enters a layer, of which they are "
            "made together with what came in.",
        ],
        figures={
            "equal_figures": equal,
            "factor_a_layer": {arm: math.exp(t_interval(f)[0]) for arm, f in factors.items()},
        },
    )


def _equal(results: Results, arm: str) -> list[bool]:
    """Tell for each layer whether the book's figure came out."""
    values = results.get(arm, seed=BOOK_SEED) or {"weight_gradients": [math.nan] * 5}
    return [
        math.isclose(ours, book, rel_tol=EQUAL_DIGITS)
        for ours, book in zip(values["weight_gradients"], BOOK_FIGURES[arm], strict=True)
    ]


def _factors(results: Results, arm: str) -> list[float]:
    """Return the logarithm of what a layer leaves of the gradient, for each seed but the book's.

    Over the layers that can have a shortcut: the last has another width.
    """
    factors = []
    for seed in results.seeds:
        values = results.get(arm, seed=seed)
        if values and seed != BOOK_SEED:
            first, *others, last, _ = values["entering_gradients"]
            if first and last:
                factors.append(math.log(first / last) / (len(others) + 1))
    return factors


def _range(ends: list[float]) -> str:
    return " to ".join(f"{math.exp(end):.2f}" for end in ends)


def _table(results: Results) -> Table:
    rows = []
    for arm, figures in BOOK_FIGURES.items():
        values = results.get(arm, seed=BOOK_SEED) or {}
        ours = values.get("weight_gradients", [math.nan] * len(figures))
        entering = values.get("entering_gradients", [math.nan] * len(figures))
        for i, book in enumerate(figures):
            rows.append([arm, str(i + 1), f"{book:.6g}", f"{ours[i]:.6g}", f"{entering[i]:.3g}"])
    return Table(
        title=f"Gradients at seed {BOOK_SEED}",
        head=("network", "layer", "weights, the book's", "weights, ours", "entering the layer"),
        rows=rows,
    )


def book_study() -> Study:
    """Return the book's demonstration, at its seed and at others."""
    return Study(
        name="book",
        title="The book's demonstration",
        kind=AT_INITIALISATION,
        prediction=Prediction(
            says=f"at seed {BOOK_SEED} the book's ten figures; at other seeds the gradient that "
            "enters a layer shrinks without shortcuts, and a layer with one leaves at least 0.9 "
            "of it (geometric mean)",
            source="Raschka, 2024, section 4.4; ours for the other seeds",
        ),
        equal="five layers, three inputs, GELU, the same weights",
        measured="mean absolute gradient of each layer's weights; norm of the gradient that enters "
        "each layer",
        arms=[
            Arm(name=WITHOUT, options={"shortcuts": False}),
            Arm(name=WITH, options={"shortcuts": True}),
        ],
        seeds=(BOOK_SEED, *range(1, 33)),
        measure=measure_book_network,
        conclude=conclude_book_network,
    )
