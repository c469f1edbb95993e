"""What a learning rate that rises first and falls at the end is worth."""

from __future__ import annotations

from dataclasses import replace

from groundup.lab.conclusions import HIGHER, differences
from groundup.lab.conclusions.predicted import differs_by, is_seen, with_predictions
from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Experiment,
    Finding,
    Prediction,
    Results,
    Study,
    swept_setting,
)
from groundup.lab.measures.training import PLAIN, train_arm

CONSTANT, TENTH, ZERO, WSD = "constant", "cosine to a tenth", "cosine to zero", "linear at the end"
WARM, COLD = "warm-up", "no warm-up"
RATES = (3e-3, 1e-2, 3e-2)
"""From the package's own for this width on; how a rate ends is compared at the first two."""
ALIKE = 0.02
"""Nats a token: schedules that differ by no more are alike."""
DECAY_STEPS, WARM_UP_STEPS = 640, 360
"""40 x 640 and 30 x 360 steps of 512 tokens: 19 million tokens, 2 layers deep and 64 wide."""
TRAIN = {**PLAIN, "batch_size": 8, "warmup_steps": None}
MODEL = {"context_length": 64, "emb_dim": 64, "n_heads": 4, "n_layers": 2}
MEASURED = "loss on the validation text at the end, nats a token"


def studies(scale: float) -> list[Study]:
    """Return the study of the end and that of the beginning, longer with more time."""
    return [
        decay(max(20, round(DECAY_STEPS * scale))),
        warm_up(max(20, round(WARM_UP_STEPS * scale))),
    ]


def decay(steps: int) -> Study:
    """Return what compares how the rate ends."""
    zero = {"min_learning_rate": 0.0}
    return Study(
        name="decay",
        title="How the learning rate ends",
        kind=TRAINED,
        prediction=Prediction(
            says="At either peak a cosine to zero ends lower than a constant rate, and than a "
            "cosine to a tenth; a linear fall to zero over the last fifth ends as low, within "
            f"{ALIKE} nats",
            source="Hoffmann et al., 2022; Bergsma et al., 2025, for zero; Hägele et al., 2024, "
            "for the last fifth",
        ),
        equal="peak rate, AdamW, warm-up of a tenth, steps, batch, order of the data, "
        "initial tensors",
        measured=MEASURED,
        arms=[
            Arm(name=ZERO, train={"schedule": "cosine", **zero}),
            Arm(name=TENTH, train={"schedule": "cosine"}),
            Arm(name=CONSTANT),
            Arm(name=WSD, train={"schedule": "wsd", "decay_share": 0.2, **zero}),
        ],
        xs=RATES[:2],
        x_name="peak rate",
        at=swept_setting("learning_rate"),
        model=MODEL,
        train={**TRAIN, "steps": steps},
        measure=train_arm,
        conclude=conclude_decay,
    )


def warm_up(steps: int) -> Study:
    """Return what compares how the rate begins."""
    return Study(
        name="warm-up",
        title="How the learning rate begins",
        kind=TRAINED,
        prediction=Prediction(
            says=f"A rate that is low enough ({RATES[0]:g}) needs no warm-up; a high one "
            f"({RATES[-1]:g}) ends higher without: warm-up is what lets the rate be high",
            source="Gilmer et al., 2021; Kalra and Barkeshli, 2024",
        ),
        equal="AdamW, cosine to zero, steps, batch, order of the data, initial tensors",
        measured=MEASURED,
        arms=[Arm(name=WARM), Arm(name=COLD, train={"warmup_steps": 0})],
        xs=RATES,
        x_name="learning rate",
        at=swept_setting("learning_rate"),
        model=MODEL,
        train={**TRAIN, "schedule": "cosine", "min_learning_rate": 0.0, "steps": steps},
        measure=train_arm,
        conclude=conclude_warm_up,
    )


def conclude_decay(results: Results) -> Finding:
    """Compare the ends with a cosine to zero."""
    finding = differences(results, "val_loss", ZERO)
    parts = {}
    for x in results.study.xs:
        for arm in (CONSTANT, TENTH):
            parts[f"{arm} ends higher at {x:g}"] = is_seen(finding, arm, HIGHER, x)
        close = differs_by(finding, WSD, -ALIKE, ALIKE, x)
        parts[f"{WSD} ends within {ALIKE} nats at {x:g}"] = close
    return with_predictions(_in_short(finding), parts)


def _in_short(finding: Finding) -> Finding:
    """Return the finding with an answer that names no arm."""
    means = [one.mean for one in finding.differences]
    if not means:
        return finding
    seen = sum(one.seen for one in finding.differences)
    answer = (
        f"Other ends than {ZERO} change the validation loss by {min(means):+.3f} to "
        f"{max(means):+.3f} nats; a difference is seen in {seen} of {len(means)} comparisons."
    )
    return replace(finding, answer=answer)


def conclude_warm_up(results: Results) -> Finding:
    """Compare trainings with and without warm-up at each rate."""
    finding = differences(results, "val_loss", WARM)
    low, high = RATES[0], RATES[-1]
    return with_predictions(
        finding,
        {
            f"at {low:g} {COLD} ends within {ALIKE} nats": differs_by(
                finding, COLD, -ALIKE, ALIKE, low
            ),
            f"at {high:g} {COLD} ends higher": is_seen(finding, COLD, HIGHER, high),
        },
    )


EXPERIMENT = Experiment(
    name="schedule",
    question="What is a learning rate worth that rises first and falls at the end?",
    studies=studies,
    answered_by=("warm-up", "decay"),
    minutes=3.5,
)
