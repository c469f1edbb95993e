"""How often a text can be read before reading it again is worth less than more text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile

from groundup.lab.conclusions import differences
from groundup.lab.conclusions.measured import mean_and_spread
from groundup.lab.conclusions.predicted import differs_by, with_predictions
from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Difference,
    Experiment,
    Finding,
    Prediction,
    Results,
    Setting,
    Study,
    Values,
)
from groundup.lab.measures.curve import loss_at
from groundup.lab.measures.text import part_of, read_text
from groundup.lab.measures.training import PLAIN, trained
from groundup.report.charts import Chart, Series

WIDE_FROM = 7.0
"""Times the default's time that five seeds of the wider model take."""
PASSES = {"new text": 1, **{f"{n} passes": n for n in (2, 4, 8, 16, 32, 64)}}
STEPS = 1000
"""Of 1,024 tokens: all that the largest text of an experiment has. 35 runs are 36 million tokens, 4
layers deep and 64 wide: about 20 CPU minutes."""
NEARLY = 0.05
"""Nats a token: a text whose loss is higher by less is nearly as good."""
FEW, MANY = ("2 passes", "4 passes"), "64 passes"
DECAY = 15.39
"""Muennighoff et al. (2023): after so many repetitions one more is worth 1/e of the first."""


def studies(scale: float) -> list[Study]:
    """Return the one study: with more time more seeds, then a wider model."""
    least = WIDE_FROM if scale >= WIDE_FROM else EXPERIMENT.least
    n_seeds = 5 * max(1, int(scale / least))
    return [
        Study(
            name="passes",
            title="The same number of tokens, from less and less text",
            kind=TRAINED,
            prediction=Prediction(
                says=f"2 and 4 passes end within {NEARLY} nats of new text; "
                f"64 passes end higher by more than that",
                source="Muennighoff et al., 2023: up to 4 passes are nearly as good as new text, "
                "and after about 40 one more is worth nothing",
            ),
            equal="tokens trained, AdamW at 0.003 after a warm-up, steps, batch, initial tensors, "
            "validation text; a part of the text is made of stretches of 1,024 characters from "
            "places that the seed draws",
            measured="loss on the validation text, nats a token",
            arms=[Arm(name=name, options={"passes": n}) for name, n in PASSES.items()],
            seeds=range(1, n_seeds + 1),
            model={
                "context_length": 64,
                "emb_dim": 128 if scale >= WIDE_FROM else 64,
                "n_heads": 4,
                "n_layers": 4,
            },
            train={
                **PLAIN,
                "learning_rate": 3e-3,
                "warmup_steps": None,
                "steps": max(20, round(STEPS * min(1.0, scale / EXPERIMENT.least))),
            },
            measure=measure,
            conclude=conclude,
        )
    ]


def measure(setting: Setting) -> Values:
    """Train on a part of the text so large that the training passes it `passes` times.

    In a training of a few steps, of which only the time is asked, it is two windows at least.
    """
    train = setting.train
    n_tokens = train.steps * train.sequences_per_step * setting.config.context_length
    unique = max(n_tokens // setting.options["passes"], 2 * setting.config.context_length)
    part = part_of(read_text(setting.text), unique, setting.cell.seed)
    return trained(setting, part)[1]


def conclude(results: Results) -> Finding:
    """Compare each number of passes with new text, and with the law of Muennighoff et al."""
    finding = differences(results, "val_loss", "new text")
    by_arm = {difference.arm: difference for difference in finding.differences}
    figures = {**finding.figures, "law": law(results)}
    finding = replace(finding, figures=figures, charts=[_chart(results), *finding.charts])
    if MANY in by_arm:
        finding = replace(finding, verdict=_verdict(results, by_arm))
    parts = {
        f"{arm}: within {NEARLY} nats of new text": differs_by(finding, arm, -math.inf, NEARLY)
        for arm in FEW
    }
    parts[f"{MANY}: more than that above it"] = differs_by(finding, MANY, NEARLY, math.inf)
    return with_predictions(finding, parts)


def worth(passes: int) -> float:
    """Return how much new text, as a share of what is trained, so many passes are worth.

    D' = U + U R* (1 - exp(-R / R*)) of Muennighoff et al. (2023), with U the part's share,
    R = passes - 1 repetitions and R* = `DECAY`.
    """
    return (1 + DECAY * (1 - math.exp(-(passes - 1) / DECAY))) / passes


def law(results: Results) -> dict[str, float]:
    """Return by how much each arm should end above new text, in nats, by the law.

    What less new text gives is read from the curves of new text: the training loss of text that is
    seen for the first time.
    """
    runs = results.of_seeds("new text")

    def loss(share: float) -> float:
        return statistics.fmean(loss_at(run, share) for run in runs)

    return {name: loss(worth(n)) - loss(1.0) for name, n in PASSES.items()}


def _verdict(results: Results, by_arm: Mapping[str, Difference]) -> str:
    as_good = list(takewhile(lambda arm: by_arm[arm].interval[1] < NEARLY, by_arm))
    most = f"Up to {as_good[-1]}" if as_good else "Not even 2 passes"
    low, high = by_arm[MANY].interval
    return (
        f"{most} ended within {NEARLY} nats of new text. {MANY} ended {by_arm[MANY].mean:+.2f} "
        f"nats from it (95% interval {low:+.2f} to {high:+.2f}); the law of Muennighoff et al. "
        f"gives {law(results)[MANY]:+.2f}."
    )


def _chart(results: Results) -> Chart:
    found = [mean_and_spread(results.numbers("val_loss", name)) for name in PASSES]
    measured = [(float(n), mean) for n, (mean, _) in zip(PASSES.values(), found, strict=True)]
    base = measured[0][1]
    lawful = [(float(PASSES[name]), base + more) for name, more in law(results).items()]
    return Chart(
        title="Loss against passes",
        series=[
            Series(name="measured", points=measured, spread=[s for _, s in found], dots=True),
            Series(
                name="by the law of Muennighoff et al.",
                points=lawful,
                colour=1,
                dash=1,
                reference=True,
            ),
        ],
        x_label="passes over the text, with equally many tokens trained",
        y_label="validation loss, nats a token",
        x_log=True,
    )


EXPERIMENT = Experiment(
    name="data",
    question="How often can a text be read before more reading is worth less than more text?",
    studies=studies,
    least=2.5,
)
