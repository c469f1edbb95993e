"""What is said of curves: made ones of every kind."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from groundup.runs.verdict import FEWEST, verdict

Points = list[tuple[float, float]]


def curve(f: Callable[[float], float], n: int = 400, every: int = 1, noise: float = 0.0) -> Points:
    """Return f of the share of the run at every so manieth step."""
    pick = random.Random(1)
    return [(float(i), f(i / n) + pick.gauss(0, noise)) for i in range(every, n + 1, every)]


def falling(u: float) -> float:
    return 7.0 - 4.0 * u


def settled(u: float) -> float:
    return 2.5 + 4.0 * math.exp(-15 * u)


def test_still_falling_says_by_how_much_in_how_many_steps() -> None:
    said = verdict(curve(falling, noise=0.1), curve(falling, every=20))
    assert said == (
        "Still falling: the validation loss fell by 1 to 3 in the last 100 steps. More training "
        "would probably help."
    )


def test_flat() -> None:
    said = verdict(curve(settled, noise=0.1), curve(settled, every=20))
    assert said.startswith("Flat: the validation loss hardly moved in the last 100 steps")


@pytest.mark.parametrize("rise", [0.2, 1.0])
def test_overfitting_names_the_step_and_both_losses(rise: float) -> None:
    def validation(u: float) -> float:
        return falling(u) if u <= 0.5 else falling(0.5) + rise * (2 * u - 1)

    said = verdict(curve(falling, noise=0.05), curve(validation, every=20))
    assert said.startswith(
        f"Overfitting since step 200: the validation loss rose from 5 to {5 + rise:.4g} while"
    )


def test_one_bad_validation_is_not_overfitting() -> None:
    measured = curve(settled, every=20)
    measured[-1] = (measured[-1][0], measured[-1][1] + 0.3)
    assert verdict(curve(settled, noise=0.1), measured).startswith("Rising: ")


def test_a_rise_of_both_is_no_overfitting() -> None:
    def rising(u: float) -> float:
        return settled(u) + 0.15 * u

    said = verdict(curve(rising), curve(rising, every=20))
    assert said.startswith("Worse since step")
    assert "smaller learning_rate" in said


@pytest.mark.parametrize("last", [math.nan, math.inf])
def test_a_loss_that_is_no_number_at_the_end(last: float) -> None:
    training = [*curve(falling), (401.0, last)]
    assert verdict(training, curve(falling, every=20)).startswith("Diverged: ")
    assert verdict([(1.0, last)], []).startswith("Diverged: ")


def test_a_training_loss_that_rose_for_good() -> None:
    def diverged(u: float) -> float:
        return settled(u) if u < 0.6 else 6.0

    said = verdict(curve(diverged, noise=0.1), curve(diverged, every=20))
    assert said.startswith("Diverged: the training loss rose from 2.521 about step 200")


@pytest.mark.parametrize("lines", [30, 60, 200, 1000])
@pytest.mark.parametrize("seed", range(20))
def test_noise_is_neither_divergence_nor_overfitting(lines: int, seed: int) -> None:
    """A loss that is flat but for 10% of noise, and a validation with 0.3%."""
    pick = random.Random(seed)
    training = [(float(i), pick.gauss(3, 0.3)) for i in range(1, lines + 1)]
    every = max(1, lines // 20)
    measured = [(float(i), pick.gauss(3, 0.009)) for i in range(every, lines + 1, every)]
    assert verdict(training, measured).split(":")[0] in ("Flat", "Still falling", "Rising")


def test_a_leap_that_healed_is_said_beside_the_rest() -> None:
    training = curve(settled, noise=0.05)
    training[299] = (300.0, 9.0)
    said = verdict(training, curve(settled, every=20))
    assert said.startswith("Flat")
    assert said.endswith("The training loss leapt up once, first at step 300.")
    assert "leapt" not in verdict(training, curve(settled, every=20), tells_leaps=False)
    assert "leapt" not in verdict(curve(settled, noise=0.3), curve(settled, every=20))


def test_too_few_validations_say_so() -> None:
    few = [(0.0, 7.0), *curve(falling, every=200)]
    assert verdict(curve(falling), few).startswith("Too few validations to say (2 since")
    assert verdict(curve(falling), []).startswith("Too few validations to say (0 since")
    assert FEWEST == 3
    assert verdict(curve(falling), curve(falling, every=130)).startswith("Still falling")


def test_next_to_nothing_is_flat() -> None:
    """A loss of 0.03 that rises by 3% has not risen by anything that counts."""
    tiny = [(10.0, 0.1361), (20.0, 0.0304), (30.0, 0.0310), (40.0, 0.0313)]
    assert verdict([(float(i), 1 / i) for i in range(1, 41)], tiny).startswith("Flat")


def test_nothing_is_said_before_the_first_line() -> None:
    assert verdict([], []) == ""


@pytest.mark.parametrize("lines", range(1, 45))
def test_a_short_run_is_no_error(lines: int) -> None:
    assert verdict(curve(falling, lines), curve(falling, lines, every=max(1, lines // 5)))
