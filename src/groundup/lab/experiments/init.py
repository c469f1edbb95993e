"""How a model starts: the standard deviation, the shrinking by depth, the first loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from groundup.base.words import counted
from groundup.lab.conclusions import HIGHER, NO_DIFFERENCE, differences, slopes, sweep
from groundup.lab.conclusions.measured import mean_and_spread
from groundup.lab.conclusions.predicted import with_predictions
from groundup.lab.conclusions.words import joined, range_words
from groundup.lab.experiment import (
    AT_INITIALISATION,
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
    swept,
)
from groundup.lab.measures.initialisation import NormalStart, XavierStart, first_pass, variance
from groundup.lab.measures.training import PLAIN, train_arm
from groundup.report.charts import Chart, Series

WIDTHS = (32.0, 64.0, 128.0, 256.0)
DEPTHS = (8.0, 16.0, 28.0, 48.0)
STDS = (0.0006, 0.002, 0.006, 0.02, 0.06, 0.2, 0.6)
FIRST_STDS = {"0.02": 0.02, "0.05": 0.05, "0.1": 0.1}
RATE = 3e-3
"""Of all trainings; chosen before any of them was made."""
OURS, UNSHRUNK, SMALL, LARGE, XAVIER = (
    "0.02 shrunk",
    "0.02 unshrunk",
    "0.002 shrunk",
    "0.2 shrunk",
    "Xavier unshrunk",
)
SHAPE: dict[str, Any] = {"emb_dim": 64, "n_heads": 2, "context_length": 64, "n_layers": 4}
TRAIN: dict[str, Any] = {**PLAIN, "learning_rate": RATE}
EQUAL = "layer norm before; the initial tensors but for their size, the order of the data"
SHRUNK = "Shrunk: what ends on a shortcut starts smaller by 1 / sqrt(2 x n_layers)."


def first_loss(setting: Setting) -> Values:
    """Return how an untrained model predicts.

    loss: nats a token; excess: by how much it is above ln(vocab_size); logits: their variance
    over the vocabulary, mean over tokens.
    """
    done = first_pass(setting, n_sequences=4)
    size = math.log(setting.config.vocab_size)
    return {
        "loss": done.loss,
        "excess": done.loss - size,
        "logits": variance(done.logits),
    }


def stream(setting: Setting) -> Values:
    """Return the variance within a vector of what leaves an untrained model's last block."""
    return {"variance": variance(first_pass(setting).streams[-1])}


def studies(scale: float) -> Sequence[Study]:
    """Return what is run with so many times the time of the default."""
    seeds = range(1, 33 if scale < 8 else 129)
    longer = min(4.0, max(1.0, scale / 4))
    found = [_first_losses(seeds), _stream(seeds), _stds(scale, longer), _losses(scale, longer)]
    return [*found, _deep(scale, longer)]


def _first_losses(seeds: Sequence[int]) -> Study:
    return Study(
        name="first-loss",
        title="The first loss over the width",
        kind=AT_INITIALISATION,
        prediction=Prediction(
            says="With a standard deviation s the logits have variance s^2 x emb_dim, and the "
            "first loss is ln(vocab_size) + s^2 x emb_dim / 2: with 0.02, ln(vocab_size) + "
            "0.0002 x emb_dim (each within 20%).",
            source="ours: the final norm makes a vector's squares sum to emb_dim; the mean of "
            "exp(x) is exp(variance / 2) where x is normal",
        ),
        equal="2 blocks, 2 heads, layer norm; 4 sequences of 64 tokens",
        measured="loss above ln(vocab_size), nats a token; variance of a token's logits",
        arms=[Arm(name=name, start=NormalStart(std)) for name, std in FIRST_STDS.items()],
        seeds=seeds,
        xs=WIDTHS,
        x_name="width",
        at=swept("emb_dim"),
        model={**SHAPE, "n_layers": 2},
        measure=first_loss,
        conclude=_conclude_first_losses,
    )


def _conclude_first_losses(results: Results) -> Finding:
    """Compare both figures with what follows from the width, over all widths."""
    found = {
        (name, metric): _ratio(results, metric, name, std)
        for name, std in FIRST_STDS.items()
        for metric in ("logits", "excess")
    }
    parts = {
        f"{words}, {name}: within 20%": abs(found[name, metric][0] - 1) <= 0.2
        for metric, words in (("logits", "logits' variance"), ("excess", "loss above ln(V)"))
        for name in FIRST_STDS
    }
    said = {
        metric: joined([f"{found[name, metric][0]:.2f} with {name}" for name in FIRST_STDS])
        for metric in ("logits", "excess")
    }
    finding = Finding(
        verdict="Measured over predicted, at all widths: the variance of the logits "
        f"{said['logits']}; the first loss above ln(vocab_size) {said['excess']}.",
        came_out=None,
        tables=[_ratio_table(found)],
        charts=[_first_chart(results)],
        figures={
            "measured_over_predicted": {
                f"{metric}, {name}": {"ratio": ratio, "interval": list(interval)}
                for (name, metric), (ratio, interval) in found.items()
            }
        },
    )
    return with_predictions(finding, parts)


Ratio = tuple[float, tuple[float, float]]


def _ratio(results: Results, metric: str, arm: str, std: float) -> Ratio:
    """Return measured over predicted by least squares over the widths, and its 95% interval."""
    half = 2 if metric == "excess" else 1
    expected = [std**2 * width / half for width in results.study.xs]
    by_seed = zip(*(results.numbers(metric, arm, x) for x in results.study.xs), strict=True)
    squares = sum(e * e for e in expected)
    return mean_and_spread(
        [sum(m * e for m, e in zip(ms, expected, strict=True)) / squares for ms in by_seed]
    )


def _ratio_table(found: Mapping[tuple[str, str], Ratio]) -> Table:
    words = {"logits": "variance of the logits", "excess": "loss above ln(vocab_size)"}
    return Table(
        title="Measured over predicted, all widths together",
        head=("standard deviation", "what", "ratio", "95% interval"),
        rows=[
            [name, words[metric], f"{ratio:.3f}", range_words(*interval)]
            for (name, metric), (ratio, interval) in found.items()
        ],
    )


def _first_chart(results: Results) -> Chart:
    series, xs = [], results.study.xs
    for i, (name, std) in enumerate(FIRST_STDS.items()):
        told = [mean_and_spread(results.numbers("excess", name, x)) for x in xs]
        means = [(x, mean) for x, (mean, _) in zip(xs, told, strict=True)]
        line = [(x, std**2 * x / 2) for x in xs]
        series += [
            Series(
                name=name,
                points=means,
                spread=[interval for _, interval in told],
                line=False,
                colour=i,
                dash=i,
            ),
            Series(name=f"{name}, predicted", points=line, colour=i, dash=i, reference=True),
        ]
    return Chart(
        title="First loss above ln(vocab_size) over the width",
        series=series,
        x_label="width (emb_dim)",
        y_label="loss above ln(vocab_size), nats a token",
        x_log=True,
        remark=f"Mean over {counted(len(results.seeds), 'seed')}.",
    )


def _stream(seeds: Sequence[int]) -> Study:
    expected = {OURS: (-0.2, 0.2), UNSHRUNK: (0.8, 1.2)}
    return Study(
        name="stream-by-depth",
        title="What the shrinking does to the residual stream, untrained",
        kind=AT_INITIALISATION,
        prediction=Prediction(
            says="What leaves the last block has a variance that does not depend on depth where "
            "the ends of the shortcuts are shrunk (log-log slope 0, within 0.2), and grows in "
            "proportion to depth where they are not (1, within 0.2).",
            source="Radford et al., 2019, section 2.3",
        ),
        equal=f"64 wide, 2 heads, one sequence of 32 tokens, layer norm before. {SHRUNK}",
        measured="variance within a vector of what leaves the last block, mean over tokens",
        arms=(Arm(name=OURS), Arm(name=UNSHRUNK, start=NormalStart(0.02, shrunk=False))),
        seeds=seeds,
        xs=DEPTHS,
        x_name="depth",
        at=swept("n_layers"),
        model={**SHAPE, "context_length": 32},
        measure=stream,
        conclude=partial(slopes, metric="variance", expected=expected),
    )


def _started(arm: Arm, std: float) -> Arm:
    return replace(arm, start=NormalStart(std, shrunk=arm.options["shrunk"]))


def _stds(scale: float, longer: float) -> Study:
    return Study(
        name="standard-deviation",
        title=f"The loss over the standard deviation, at a rate of {RATE:g}",
        kind=TRAINED,
        prediction=Prediction(
            says="The best loss comes from 0.006 to 0.06. A standard deviation of 0.6 costs at "
            "least 0.1 nat, one of 0.0006 less than that of 0.6: AdamW moves a number by about the "
            "rate a step, so that small ones soon grow, while large ones stay what was drawn.",
            source="ours; 0.02 is that of Radford et al., 2019",
        ),
        equal=f"4 blocks 64 wide, 2 heads, context 64, {EQUAL}. {SHRUNK}",
        measured="mean of the last tenth of the training loss, nats a token",
        arms=(
            Arm(name="shrunk", options={"shrunk": True}),
            Arm(name="unshrunk", options={"shrunk": False}),
        ),
        seeds=(1,) if scale < 6 else (1, 2, 3),
        xs=STDS,
        x_name="standard deviation",
        at=_started,
        model=SHAPE,
        train={**TRAIN, "steps": round(200 * longer)},
        measure=train_arm,
        conclude=_conclude_stds,
    )


def _conclude_stds(results: Results) -> Finding:
    """Say where the shrunk model is best, and what the ends cost."""
    finding = sweep(results)
    xs = results.study.xs
    losses = [mean_and_spread(results.numbers("train_loss", "shrunk", x))[0] for x in xs]
    told = [math.inf if math.isnan(loss) else loss for loss in losses]
    best = xs[told.index(min(told))]
    small, large = told[0] - min(told), told[-1] - min(told)
    return with_predictions(
        finding,
        {
            "shrunk is best from 0.006 to 0.06": math.isfinite(min(told)) and 0.006 <= best <= 0.06,
            "0.6 costs at least 0.1 nat": large >= 0.1,
            "0.0006 costs less than 0.6": small < large,
        },
    )


def _losses(scale: float, longer: float) -> Study:
    expected = {UNSHRUNK: NO_DIFFERENCE, SMALL: HIGHER, LARGE: HIGHER}
    return Study(
        name="loss",
        title=f"The loss from other starts, 4 deep, at a rate of {RATE:g}",
        kind=TRAINED,
        prediction=Prediction(
            says="Against 0.02 shrunk, a tenth and ten times of it cost something; at 4 blocks "
            "the shrinking makes no difference. Of Xavier's nothing is predicted.",
            source="ours",
        ),
        equal=f"4 blocks 64 wide, 2 heads, context 64, {EQUAL}. {SHRUNK}",
        measured="validation loss, nats a token",
        arms=(
            Arm(name=OURS),
            Arm(name=UNSHRUNK, start=NormalStart(0.02, shrunk=False)),
            Arm(name=SMALL, start=NormalStart(0.002)),
            Arm(name=LARGE, start=NormalStart(0.2)),
            Arm(name=XAVIER, start=XavierStart()),
        ),
        seeds=range(1, 6 if scale < 6 else 11),
        model=SHAPE,
        train={**TRAIN, "steps": round(250 * longer)},
        measure=train_arm,
        conclude=partial(differences, metric="val_loss", against=OURS, expected=expected),
    )


def _deep(scale: float, longer: float) -> Study:
    deep = 12 if scale < 6 else 24
    return Study(
        name="loss-deep",
        title=f"What the shrinking is worth, {deep} deep, at a rate of {RATE:g}",
        kind=TRAINED,
        prediction=Prediction(
            says="The deeper the model, the more the shrinking matters: unshrunk costs something.",
            source="ours, from Radford et al., 2019, section 2.3",
        ),
        equal=f"{deep} blocks 48 wide, 2 heads, context 64, {EQUAL}. {SHRUNK}",
        measured="validation loss, nats a token",
        arms=(Arm(name=OURS), Arm(name=UNSHRUNK, start=NormalStart(0.02, shrunk=False))),
        seeds=range(1, 6 if scale < 6 else 11),
        model={**SHAPE, "emb_dim": 48, "n_layers": deep},
        train={**TRAIN, "steps": round(150 * longer)},
        measure=train_arm,
        conclude=partial(differences, metric="val_loss", against=OURS, expected={UNSHRUNK: HIGHER}),
    )


EXPERIMENT = Experiment(
    name="init",
    question="What must the initial weights be like, and what is lost by others?",
    studies=studies,
    answered_by=("standard-deviation", "loss"),
    minutes=4.6,
)
