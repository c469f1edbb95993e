"""What the book's demonstration of shortcuts shows: its own figures, and those of other seeds."""

from __future__ import annotations

import math

from groundup.lab.conclusions.fading import log_factors
from groundup.lab.conclusions.statistics import t_interval
from groundup.lab.experiment import Finding, Results, Table

WITHOUT, WITH = "no shortcuts", "shortcuts"
BOOK_SEED = 123
BOOK_FIGURES = {
    WITHOUT: (0.000201736, 0.000120112, 0.000715204, 0.00139887, 0.00504965),
    WITH: (0.221698, 0.206941, 0.328970, 0.266573, 1.32585),
}
"""Mean absolute value of each layer's weight gradients at `BOOK_SEED`, six digits."""
EQUAL_DIGITS = 1e-5
"""Relative tolerance of the comparison: half a unit of the sixth digit, and a little rounding."""
WITH_EXPECTED = 0.9
"""A layer with a shortcut passes at least this share of the gradient on."""


def conclude_book_network(results: Results) -> Finding:
    """Conclude whether the book's figures come out, and what other seeds show.

    What a layer leaves of the gradient is looked at where it can have a shortcut: the last layer
    has another width.
    """
    others = [seed for seed in results.seeds if seed != BOOK_SEED]
    factors = {
        arm: t_interval(log_factors(
            [results.get(arm, seed=s)["entering_gradients"][:-1] for s in others]
        ))
        for arm in BOOK_FIGURES
    }  # fmt: skip
    without, with_them = ([math.exp(end) for end in factors[arm]] for arm in (WITHOUT, WITH))
    table, equal = _table(results)
    n_figures = len(table.rows)
    return Finding(
        verdict=(
            f"{equal} of the book's {n_figures} figures come out at seed {BOOK_SEED}. Over "
            f"{len(others)} other seeds the gradient shrinks to {without[0]:.2f} of itself from "
            f"layer to layer without shortcuts (95% interval {without[1]:.2f} to {without[2]:.2f}) "
            f"and to {with_them[0]:.2f} with them ({with_them[1]:.2f} to {with_them[2]:.2f}); the "
            "last layer, which has none, is left out."
        ),
        came_out=(
            equal == n_figures and without[2] < WITH_EXPECTED and with_them[0] >= WITH_EXPECTED
        ),
        tables=[table],
        notes=[
            "This network has no norms. The book looks at the gradients of the weights; what "
            "fades from layer to layer is the gradient that enters a layer, of which they are "
            "made together with what came in.",
        ],
        figures={
            "equal_figures": equal,
            "factor_a_layer": {WITHOUT: without[0], WITH: with_them[0]},
        },
    )


def _table(results: Results) -> tuple[Table, int]:
    """Return the figures at the book's seed, and how many are the book's."""
    rows, equal = [], 0
    for arm, figures in BOOK_FIGURES.items():
        values = results.get(arm, seed=BOOK_SEED)
        found = zip(figures, values["weight_gradients"], values["entering_gradients"], strict=True)
        for i, (book, ours, entering) in enumerate(found, 1):
            equal += math.isclose(ours, book, rel_tol=EQUAL_DIGITS)
            rows.append([arm, str(i), f"{book:.6g}", f"{ours:.6g}", f"{entering:.3g}"])
    head = ("network", "layer", "weights, the book's", "weights, ours", "entering the layer")
    return Table(title=f"Gradients at seed {BOOK_SEED}", head=head, rows=rows), equal
