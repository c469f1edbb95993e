"""Deep and narrow or shallow and wide, at equal parameters: the loss, and the speed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from groundup.config import GPTConfig
from groundup.lab.conclusions import differences, sweep
from groundup.lab.conclusions.measured import arms_of
from groundup.lab.conclusions.statistics import t_interval
from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Experiment,
    Finding,
    Prediction,
    Results,
    Setting,
    Study,
    Table,
    Values,
    swept_setting,
)
from groundup.lab.measures.text import read_text
from groundup.lab.measures.training import PLAIN, train_arm
from groundup.plan import block_parts, count_parameters
from groundup.report.charts import Chart, Series


class Shape(NamedTuple):
    """A model's shape: 12 x depth x width^2 weights in its blocks, heads about 15 wide."""

    n_layers: int
    emb_dim: int
    n_heads: int

    @property
    def name(self) -> str:
        """Blocks x width."""
        return f"{self.n_layers} x {self.emb_dim}"


SHAPES = [Shape(1, 128, 8), Shape(2, 90, 6), Shape(4, 64, 4), Shape(8, 45, 3), Shape(16, 32, 2)]
MIDDLE = SHAPES[2].name
RATE = 3e-3
STEPS = 300
WITHIN = 0.03
"""By how much shapes of the same size differ in loss at most (Kaplan et al., 2020, figure 5)."""


def train_and_time(setting: Setting) -> Values:
    """Train a model as `train_arm` does, and time it.

    tokens_per_second: trained tokens in a second of this process's own time, on its one core, the
    validation at the end included; block_parameters and all_parameters: how many there are.
    """
    read_text(setting.text)  # which is read once, and not part of what is timed
    begun = time.process_time()
    values = train_arm(setting)
    seconds = time.process_time() - begun
    train, config = setting.train, setting.config
    tokens = train.steps * train.sequences_per_step * config.context_length
    return {
        **values,
        "tokens_per_second": tokens / seconds,
        **_sizes(config),
    }


def _sizes(config: GPTConfig) -> dict[str, int]:
    return {
        "block_parameters": config.n_layers * sum(block_parts(config).values()),
        "all_parameters": count_parameters(config).total,
    }


def conclude_shapes(results: Results) -> Finding:
    """Conclude how far the losses of shapes of the same size lie apart, and their speeds."""
    finding = differences(results, "train_loss", MIDDLE)
    losses = {arm: statistics.fmean(results.numbers("train_loss", arm)) for arm in arms_of(results)}
    middle = losses[MIDDLE]
    best, worst = (choose(losses, key=losses.__getitem__) for choose in (min, max))
    apart = max(abs(loss / middle - 1) for loss in losses.values())
    speeds = {arm: _speed(results, arm) for arm in losses}
    slowest, fastest = (choose(speeds, key=speeds.__getitem__) for choose in (min, max))
    return replace(
        finding,
        verdict=(
            f"Of shapes with the same number of weights in their blocks {best} ends lowest "
            f"({losses[best]:.3f} nats) and {worst} highest ({losses[worst]:.3f}); from {MIDDLE} "
            f"they are at most {apart:.1%} away. {fastest} trains {speeds[fastest]:,.0f} tokens a "
            f"second on one core, {slowest} {speeds[slowest]:,.0f}."
        ),
        came_out=apart <= WITHIN,
        tables=[_table(results, losses), *finding.tables],
        charts=[_loss_chart(results), _speed_chart(results), *finding.charts],
        notes=[
            *finding.notes,
            "Equal are the weights in the blocks, as is usual; embeddings are counted with all.",
            "All shapes take the same number of steps, not the same time.",
        ],
        figures={
            "largest_relative_difference": apart,
            "tokens_per_second": speeds,
            "train_loss": losses,
        },
    )


def _speed(results: Results, arm: str) -> float:
    """Return trained tokens a second, median over the seeds."""
    return statistics.median(results.numbers("tokens_per_second", arm))


def _table(results: Results, losses: dict[str, float]) -> Table:
    rows = []
    for arm, loss in losses.items():
        values = results.get(arm)
        sizes = (f"{values[name]:,.0f}" for name in ("block_parameters", "all_parameters"))
        rows.append([arm, *sizes, f"{loss:.3f}", f"{_speed(results, arm):,.0f}"])
    return Table(
        title="Blocks x width",
        head=("shape", "in blocks", "in all", "training loss, nats", "tokens/s, one core"),
        rows=rows,
    )


def _loss_chart(results: Results) -> Chart:
    points, spread = [], []
    for arm in results.study.arms:
        mean, low, high = t_interval(results.numbers("train_loss", arm.name))
        points.append((float(arm.model["n_layers"]), mean))
        spread.append((low, high))
    return Chart(
        title="Loss of shapes with equally many weights in their blocks",
        series=[Series(name="mean over seeds", points=points, spread=spread, dots=True)],
        x_label="blocks",
        y_label="training loss, nats a token",
        x_log=True,
    )


def _speed_chart(results: Results) -> Chart:
    arms = results.study.arms
    points = [(float(arm.model["n_layers"]), _speed(results, arm.name)) for arm in arms]
    return Chart(
        title="Speed of shapes with equally many weights in their blocks",
        series=[Series(name="median over seeds", points=points, dots=True)],
        x_label="blocks",
        y_label="trained tokens a second, one core",
        x_log=True,
        from_zero=True,
    )


def _shape_arms() -> list[Arm]:
    return [Arm(name=shape.name, model=shape._asdict()) for shape in SHAPES]


HELD = (
    "weights in the blocks (12 x blocks x width^2, within 1%), heads about 16 wide, batches of "
    "16 x 64 characters and their order, AdamW at a fixed rate"
)


def shape_study(train: dict[str, Any], seeds: Sequence[int]) -> Study:
    """Return the shapes at one rate, over paired seeds."""
    return Study(
        name="shape",
        title="Depth against width",
        kind=TRAINED,
        prediction=Prediction(
            says=f"no shape ends more than {WITHIN:.0%} from the loss of {MIDDLE}: at equal "
            "parameters the shape matters little",
            source="Kaplan et al., 2020, section 3.1",
        ),
        equal=HELD,
        measured="training loss, nats a token, mean over the last tenth; tokens a second",
        arms=_shape_arms(),
        seeds=seeds,
        model={"context_length": 64},
        train=train,
        measure=train_and_time,
        conclude=conclude_shapes,
    )


def rate_study(train: dict[str, Any]) -> Study:
    """Return whether another rate would make another shape the best."""
    return Study(
        name="rate",
        title="Other learning rates",
        kind=TRAINED,
        prediction=Prediction(
            says=f"the shape that is best at {RATE:g} is best where each has its own best rate",
            source="ours",
        ),
        equal=HELD,
        measured="training loss, nats a token, mean over the last tenth",
        arms=_shape_arms(),
        seeds=(1,),
        xs=(3e-4, 1e-3, 3e-3, 1e-2),
        x_name="learning rate",
        at=swept_setting("learning_rate"),
        model={"context_length": 64},
        train=train,
        measure=train_arm,
        conclude=conclude_rates,
    )


def conclude_rates(results: Results) -> Finding:
    """Conclude at which rates each shape trains, and whether one rate for all decides the same."""
    finding = sweep(results)
    own = {arm: best["train_loss"] for arm, best in finding.figures["best"].items() if best}
    fixed = {arm: results.numbers("train_loss", arm, RATE)[0] for arm in own}
    best, best_fixed = (min(losses, key=losses.__getitem__) for losses in (own, fixed))
    return replace(finding, came_out=best == best_fixed)


def studies(scale: float) -> list[Study]:
    """Return the studies: with more time more seeds, steps and learning rates."""
    steps = max(STEPS, round(STEPS * scale / 3))
    train = {**PLAIN, "learning_rate": RATE, "steps": steps}
    seeds = range(1, 6) if scale < 3 else range(1, 9)
    return [shape_study(train, seeds), *([rate_study(train)] if scale >= 3 else [])]


EXPERIMENT = Experiment(
    name="depth-width",
    question="At equal parameters, is it better to be deep or to be wide?",
    studies=studies,
    answered_by=("shape",),
    minutes=2.9,
)
