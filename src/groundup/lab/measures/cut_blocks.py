"""Leaving single blocks out of a trained model, or swapping two neighbours (Veit et al., 2016)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.lab.conclusions import differences
from groundup.lab.conclusions.predicted import with_predictions
from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Finding,
    Prediction,
    Results,
    Setting,
    Study,
    Table,
    Values,
)
from groundup.lab.measures.initialisation import NormalStart
from groundup.lab.measures.text import read_text
from groundup.lab.measures.training import trained
from groundup.model import GPT, NO_CACHE, Cache
from groundup.model.init import STANDARD_DEVIATION
from groundup.report.charts import Chart, Series

N_WINDOWS = 32
SMALL_SHARE = 0.1
"""A change of the loss is small below this part of what was learnt."""


SCALED, UNSCALED = "residual scaling", "no residual scaling"


class _Absent(nn.Module):
    """Stands where a block was: only the shortcut is left."""

    def forward(self, x: Tensor, cache: Cache, rotate: Callable[[Tensor], Tensor]) -> Tensor:
        return x


def train_and_cut(setting: Setting) -> Values:
    """Train a model, then measure its loss with each block left out, and with neighbours swapped.

    As `train_arm`, and in nats a token over windows of the validation text: intact; cut: without
    block i; swapped: with blocks i and i + 1 in each other's place.
    """
    model, values = trained(setting)
    tokens, targets = _windows(setting)
    blocks = model.blocks
    cut, swapped = [], []
    for i in range(len(blocks)):
        with _arranged(model, [_Absent() if j == i else b for j, b in enumerate(blocks)]):
            cut.append(_loss(model, tokens, targets))
    for i in range(len(blocks) - 1):
        with _arranged(model, [*blocks[:i], blocks[i + 1], blocks[i], *blocks[i + 2 :]]):
            swapped.append(_loss(model, tokens, targets))
    intact = _loss(model, tokens, targets)
    return {**values, "intact": intact, "cut": cut, "swapped": swapped}


@contextmanager
def _arranged(model: GPT, blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Give a model other blocks for a while."""
    before, model.blocks = model.blocks, nn.ModuleList(blocks)
    try:
        yield
    finally:
        model.blocks = before


def _windows(setting: Setting) -> tuple[Tensor, Tensor]:
    """Return tokens and targets (B, T) from the beginning of the validation text."""
    split, length = read_text(setting.text).splits[1], setting.config.context_length
    n_windows = min(N_WINDOWS, (split.n_tokens - 1) // length)
    ids = torch.from_numpy(split.read(0, n_windows * length + 1).astype(np.int64))
    return ids[:-1].view(n_windows, length), ids[1:].view(n_windows, length)


@torch.no_grad()
def _loss(model: GPT, tokens: Tensor, targets: Tensor) -> float:
    return F.cross_entropy(model(tokens, NO_CACHE).flatten(0, 1), targets.flatten()).item()


def conclude_cuts(results: Results, against: str) -> Finding:
    """Conclude how much a single block matters in each arm, and how arms differ from `against`.

    The prediction came out if in each arm leaving one block out or swapping two costs, in the
    median, less than `SMALL_SHARE` of what was learnt (unigram entropy less the intact loss), and
    no arm ends with a lower training loss than `against`.
    """
    trained_arms = differences(results, "train_loss", against)
    shares = {arm.name: _shares(results, arm.name) for arm in results.study.arms}
    lower = [d.arm for d in trained_arms.differences if d.seen and d.mean < 0]
    cut, swapped = (
        all(part < SMALL_SHARE for part in of) for of in zip(*shares.values(), strict=True)
    )
    finding = Finding(
        verdict=f"{_cut_words(shares)} {trained_arms.verdict}",
        came_out=None,
        differences=trained_arms.differences,
        tables=[_table(results, "cut"), _table(results, "swapped"), *trained_arms.tables],
        charts=[_chart(results), *trained_arms.charts],
        notes=[
            *_worst(results),
            f"After {results.study.train.get('steps', 0)} steps: what later blocks do by then "
            "may be little.",
            *trained_arms.notes,
        ],
        figures={
            arm: {
                name: share if math.isfinite(share) else None
                for name, share in zip(("cut", "swapped"), pair, strict=True)
            }
            for arm, pair in shares.items()
        },
    )
    return with_predictions(
        finding,
        {
            f"a block left out costs less than {SMALL_SHARE:.0%}": cut,
            f"two swapped cost less than {SMALL_SHARE:.0%}": swapped,
            f"none ends lower than {against}": not lower,
        },
    )


def _shares(results: Results, arm: str) -> tuple[float, float]:
    """Return which part of what was learnt cutting and swapping cost.

    Medians over blocks and seeds. Infinite where no training of the arm learnt anything.
    """
    cut, swapped = [], []
    for values in _learnt(results, arm):
        learnt = values["unigram_entropy"] - values["intact"]
        cut += [(loss - values["intact"]) / learnt for loss in values["cut"]]
        swapped += [(loss - values["intact"]) / learnt for loss in values["swapped"]]
    return (statistics.median(cut), statistics.median(swapped)) if cut else (math.inf, math.inf)


def _learnt(results: Results, arm: str) -> list[Values]:
    """Return what the trainings measured that work."""
    cells = (results.get(arm, seed=seed) for seed in results.seeds)
    return [values for values in cells if values and values["trains"]]


def _cut_words(shares: dict[str, tuple[float, float]]) -> str:
    parts = [
        f"{arm}, leaving one block out costs {cut:.1%} of what was learnt and swapping two "
        f"neighbours {swap:.1%} (medians)"
        if math.isfinite(cut)
        else f"{arm}, nothing was learnt that a block could cost"
        for arm, (cut, swap) in shares.items()
    ]
    return f"With {'; with '.join(parts)}."


def _mean_losses(results: Results, arm: str, what: str) -> list[float]:
    """Return for each block the loss in nats a token, mean over the trainings that work."""
    rows = [values[what] for values in _learnt(results, arm)]
    return [statistics.fmean(losses) for losses in zip(*rows, strict=True)]


def _table(results: Results, what: str) -> Table:
    names = {"cut": "one block left out", "swapped": "a block swapped with the next"}
    rows = []
    for arm in (arm.name for arm in results.study.arms):
        losses = _mean_losses(results, arm, what)
        intact = [values["intact"] for values in _learnt(results, arm)]
        if losses:
            rises = [loss - statistics.fmean(intact) for loss in losses]
            rows.append([arm, f"{statistics.fmean(intact):.3f}", *(f"{r:+.3f}" for r in rises)])
    n_columns = max((len(row) for row in rows), default=2) - 2
    return Table(
        title=f"Rise of the loss, nats a token, with {names[what]}",
        head=("arm", "intact", *(f"block {i + 1}" for i in range(n_columns))),
        rows=rows,
    )


def _chart(results: Results) -> Chart:
    series, intact = [], []
    for look, arm in enumerate(arm.name for arm in results.study.arms):
        for what, dash in (("cut", 0), ("swapped", 1)):
            losses = _mean_losses(results, arm, what)
            points = [(float(i + 1), loss) for i, loss in enumerate(losses)]
            series.append(Series(name=f"{arm}, {what}", points=points, colour=look, dash=dash))
        intact += [values["intact"] for values in _learnt(results, arm)]
    if intact:
        points = [(0.0, statistics.fmean(intact))]
        series.append(Series(name="intact, mean", points=points, colour=5, reference=True))
    return Chart(
        title="A trained model without one block, or with two swapped",
        series=series,
        x_label="block",
        y_label="validation loss, nats a token",
    )


def _worst(results: Results) -> Iterator[str]:
    """Say which block matters most in each arm."""
    for arm in (arm.name for arm in results.study.arms):
        losses = _mean_losses(results, arm, "cut")
        if losses:
            worst = max(range(len(losses)), key=losses.__getitem__)
            rise = losses[worst] - statistics.fmean(v["intact"] for v in _learnt(results, arm))
            yield f"{arm}: block {worst + 1} is missed most, by {rise:.2f} nats a token."


def cut_study(
    model: Mapping[str, Any], train: Mapping[str, Any], seeds: Sequence[int], equal: str
) -> Study:
    """Return what single blocks of a trained model are worth, residual scaling on and off."""
    return Study(
        name="cut",
        title="One block left out, residual scaling on and off",
        kind=TRAINED,
        prediction=Prediction(
            says="a block left out, or swapped with the next, costs less than a tenth of what was "
            "learnt (median), as paths through the other blocks remain; starting the last "
            "projection on each shortcut smaller by 1/sqrt(2L) does not end higher",
            source="Veit et al., 2016; Radford et al., 2019, for the scaling",
        ),
        equal=f"{equal} but for its scaling, both shortcuts",
        measured="validation loss, nats a token, of the changed model; training loss of the whole",
        arms=[
            Arm(name=SCALED),
            Arm(name=UNSCALED, start=NormalStart(std=STANDARD_DEVIATION, shrunk=False)),
        ],
        seeds=seeds,
        model=model,
        train=train,
        measure=train_and_cut,
        conclude=partial(conclude_cuts, against=SCALED),
    )
