"""Normalising layer activations: what it does to gradients, to learning rates and to the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from groundup.lab.conclusions import HIGHER, NO_DIFFERENCE, differences, slopes, sweep
from groundup.lab.conclusions.predicted import largest, with_predictions
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
    Values,
    swept,
    swept_setting,
)
from groundup.lab.measures.initialisation import XavierStart, first_pass, variance
from groundup.lab.measures.parts import OWN
from groundup.lab.measures.training import PLAIN, train_arm

BEFORE, NONE, RMS, AFTER, BOTH = (
    "layer norm before",
    "none",
    "RMS norm before",
    "layer norm after",
    "layer norm both",
)
ARMS = (
    Arm(name=BEFORE, parts=OWN),
    Arm(name=NONE, model={"norm": "none"}, parts=OWN),
    Arm(name=RMS, model={"norm": "rmsnorm"}, parts=OWN),
    Arm(name=AFTER, model={"norm_order": "original"}, parts=OWN),
    Arm(name=BOTH, model={"norm_order": "sandwich"}, parts=OWN),
)
MORE_ARMS = (
    Arm(name="RMS norm after", model={"norm": "rmsnorm", "norm_order": "original"}, parts=OWN),
    Arm(name="RMS norm both", model={"norm": "rmsnorm", "norm_order": "sandwich"}, parts=OWN),
    Arm(name="layer norm of what is added", model={"norm_order": "post"}, parts=OWN),
)
DEPTHS = (8.0, 16.0, 28.0, 48.0)
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
COLD, WARM = " without warm-up", " with warm-up"
RATE = 3e-3
"""Of the trainings whose losses are compared; chosen before any of them was made."""
SHAPE: dict[str, Any] = {"emb_dim": 64, "n_heads": 2, "context_length": 64, "n_layers": 4}
EQUAL = (
    "4 blocks 64 wide, 2 heads, context 64; the initial tensors, the order of the data, the "
    "training"
)
PLACES = (
    "Before: x + f(norm(x)), GPT-2's. After: norm(x + f(x)), the first transformers'. Both: "
    "x + norm(f(norm(x))), Gemma 2's. A norm before the output head belongs to all but none."
)


def at_start(setting: Setting) -> Values:
    """Return the size of a gradient and of the residual stream in an untrained model.

    gradient: Frobenius norm of that of the last block's `ffn.down.weight`; variance: within a
    vector of what leaves the last block.
    """
    done = first_pass(setting)
    block: Any = done.model.blocks[-1]
    return {
        "gradient": block.ffn.down.weight.grad.norm().item(),
        "variance": variance(done.streams[-1]),
    }


def studies(scale: float) -> Sequence[Study]:
    """Return what is run with so many times the time of the default."""
    seeds = range(1, 33 if scale < 8 else 129)
    longer = min(4.0, max(1.0, scale / 6))
    found = [_gradient(seeds), _stream(seeds), _rates(scale, longer), _losses(scale, longer)]
    if scale >= 2.5:
        found += [_warm_up(longer), _squash_rates(longer), _squash_losses(longer)]
    return found


def _gradient(seeds: Sequence[int]) -> Study:
    expected = {
        "Xavier before": (-0.6, -0.4),
        "Xavier after": (-0.2, 0.2),
        "ours before": (-0.2, 0.2),
        "ours after": (-0.2, 0.2),
    }
    xavier, after = XavierStart(), {"norm_order": "original"}
    return Study(
        name="gradient-by-depth",
        title="The last block's gradient over depth, untrained",
        kind=AT_INITIALISATION,
        prediction=Prediction(
            says="With Xavier's initialisation, unshrunk, the norm of the last feed-forward's "
            "gradient falls as 1 / sqrt(depth) with the norm before (log-log slope -0.5, within "
            "0.1) and does not depend on depth with the norm after the sum (0, within 0.2). With "
            "our initialisation, which shrinks what each block adds, it depends on depth in "
            "neither (0, within 0.2).",
            source="Xiong et al., 2020, theorem 1; ours of our initialisation",
        ),
        equal="64 wide, 2 heads, one sequence of 32 tokens, layer norm. Before: x + f(norm(x)). "
        "After: norm(x + f(x)). OLMo 2: x + norm(f(x)).",
        measured="Frobenius norm of the gradient of the last block's ffn.down.weight",
        arms=(
            Arm(name="Xavier before", parts=OWN, start=xavier),
            Arm(name="Xavier after", parts=OWN, start=xavier, model=after),
            Arm(name="ours before", parts=OWN),
            Arm(name="ours after", parts=OWN, model=after),
            Arm(name="Xavier OLMo 2", parts=OWN, start=xavier, model={"norm_order": "post"}),
        ),
        seeds=seeds,
        xs=DEPTHS,
        x_name="depth",
        at=swept("n_layers"),
        model={**SHAPE, "context_length": 32},
        measure=at_start,
        conclude=partial(slopes, metric="gradient", expected=expected, y_label="gradient's norm"),
    )


def _stream(seeds: Sequence[int]) -> Study:
    flat = (-0.2, 0.2)
    expected = {"Xavier unshrunk": (0.8, 1.2), "Xavier shrunk": flat, "ours": flat}
    return Study(
        name="stream-by-depth",
        title="The residual stream's variance over depth, untrained",
        kind=AT_INITIALISATION,
        prediction=Prediction(
            says="With the norm before, what leaves the last block has a variance that grows in "
            "proportion to depth where nothing is shrunk (log-log slope 1, within 0.2). Where what "
            "ends on a shortcut starts smaller by 1 / sqrt(2 x n_layers) it does not depend on "
            "depth (0, within 0.2), whether the rest is Xavier's or ours.",
            source="Xiong et al., 2020, lemma 2; Radford et al., 2019, section 2.3",
        ),
        equal="64 wide, 2 heads, one sequence of 32 tokens, layer norm before",
        measured="variance within a vector of what leaves the last block, mean over tokens",
        arms=(
            Arm(name="Xavier unshrunk", start=XavierStart()),
            Arm(name="Xavier shrunk", start=XavierStart(shrunk=True)),
            Arm(name="ours"),
        ),
        seeds=seeds,
        xs=DEPTHS,
        x_name="depth",
        at=swept("n_layers"),
        model={**SHAPE, "context_length": 32},
        measure=at_start,
        conclude=partial(slopes, metric="variance", expected=expected),
    )


def _sweep(name: str, title: str, prediction: Prediction, steps: int, **changes: Any) -> Study:
    """Return a sweep of learning rates."""
    given: dict[str, Any] = {
        "equal": EQUAL,
        "model": SHAPE,
        "measured": "largest rate at which the last tenth of the training loss is 0.1 nat below "
        "the unigram entropy; that loss, nats a token",
        "seeds": (1,),
        "xs": RATES,
        "measure": train_arm,
    }
    return Study(
        name=name,
        title=title,
        kind=TRAINED,
        prediction=prediction,
        x_name="learning rate",
        at=swept_setting("learning_rate"),
        train={**PLAIN, "steps": steps},
        **{**given, **changes},
    )


def _rates(scale: float, longer: float) -> Study:
    def conclude(results: Results) -> Finding:
        finding = sweep(results)
        rate = largest(finding)
        return with_predictions(
            finding,
            {
                "none trains at smaller rates only": rate[NONE] < rate[BEFORE],
                "the norm after trains at smaller rates only": rate[AFTER] < rate[BEFORE],
                "RMS norm trains up to the same rate": rate[RMS] == rate[BEFORE],
                "only without a norm are trainings lost": _lost(results) == {NONE},
            },
        )

    return _sweep(
        "largest-rate",
        "The largest learning rate that trains",
        Prediction(
            says="A model with a norm before each step trains at larger rates than one without any "
            "and than one with the norm after; RMS norm up to the same rate as layer norm. Only "
            "without a norm are trainings lost: their loss is no longer finite.",
            source="Ba et al., 2016; of the norm after Xiong et al., 2020; of RMS norm Zhang and "
            "Sennrich, 2019",
        ),
        round(200 * longer),
        equal=f"{EQUAL}. {PLACES}",
        arms=ARMS + MORE_ARMS if scale >= 5 else ARMS,
        seeds=(1,) if scale < 10 else (1, 2, 3),
        conclude=conclude,
    )


def _lost(results: Results) -> set[str]:
    """Return the arms of which a training was lost at any rate."""
    return {cell.arm for cell, values in results.values.items() if values["lost"]}


def _losses(scale: float, longer: float) -> Study:
    expected = {NONE: HIGHER, AFTER: HIGHER, RMS: NO_DIFFERENCE}
    return Study(
        name="loss",
        title=f"The loss at a rate of {RATE:g}",
        kind=TRAINED,
        prediction=Prediction(
            says="Against layer norm before, the loss is higher without a norm and with the norm "
            "after, and the same with RMS norm. Of both places nothing is predicted.",
            source="Ba et al., 2016; Xiong et al., 2020; Zhang and Sennrich, 2019",
        ),
        equal=f"{EQUAL}. {PLACES}",
        measured="validation loss, nats a token",
        arms=ARMS + MORE_ARMS if scale >= 5 else ARMS,
        seeds=range(1, 6 if scale < 5 else 11),
        model=SHAPE,
        train={**PLAIN, "learning_rate": RATE, "steps": round(250 * longer)},
        measure=train_arm,
        conclude=partial(differences, metric="val_loss", against=BEFORE, expected=expected),
    )


def _warm_up(longer: float) -> Study:
    warm = {"warmup_steps": 100}
    arms = tuple(
        replace(arm, name=f"{arm.name}{words}", train=train)
        for arm in (ARMS[0], ARMS[3])
        for words, train in ((COLD, {}), (WARM, warm))
    )

    def conclude(results: Results) -> Finding:
        finding = sweep(results)
        rate = largest(finding)
        cold, warmed = (f"{AFTER}{words}" for words in (COLD, WARM))
        before = [rate[f"{BEFORE}{words}"] for words in (COLD, WARM)]
        return with_predictions(
            finding,
            {
                "the norm after trains at larger rates with it": rate[cold] < rate[warmed],
                "the norm before trains up to the same rate": before[0] == before[1],
            },
        )

    return _sweep(
        "warm-up",
        "Whether the norm after needs a warm-up",
        Prediction(
            says="A warm-up of 100 steps lets the model with the norm after train at larger rates; "
            "the one with the norm before needs none.",
            source="Xiong et al., 2020",
        ),
        round(300 * longer),
        arms=arms,
        conclude=conclude,
    )


SQUASHED = "tanh (DyT)"
SQUASH_ARMS = (
    Arm(name=BEFORE, parts=OWN),
    Arm(name=SQUASHED, model={"norm": "dynamic_tanh"}, parts=OWN),
    Arm(name=NONE, model={"norm": "none"}, parts=OWN),
)
SQUASH: dict[str, Any] = {
    "model": {**SHAPE, "embedding_scale": True},
    "equal": f"{EQUAL}; embeddings times sqrt(emb_dim), as tanh does not bring them to one size",
    "arms": SQUASH_ARMS,
}


def _squash_rates(longer: float) -> Study:
    def conclude(results: Results) -> Finding:
        finding = sweep(results)
        rate = largest(finding)
        parts = {"tanh trains at larger rates than none": rate[NONE] < rate[SQUASHED]}
        return with_predictions(finding, parts)

    return _sweep(
        "squash-largest-rate",
        "The largest rate with a squashing instead of a norm",
        Prediction(
            says="What a norm gives needs no mean and variance: with tanh in its place a model "
            "trains at larger rates than with nothing.",
            source="Zhu et al., 2025",
        ),
        round(200 * longer),
        conclude=conclude,
        **SQUASH,
    )


def _squash_losses(longer: float) -> Study:
    return Study(
        name="squash-loss",
        title=f"The loss with a squashing instead of a norm, at a rate of {RATE:g}",
        kind=TRAINED,
        prediction=Prediction(
            says="With tanh the loss is that of layer norm. Later work found it lower where tokens "
            "are few for the model and higher where they are many; here each token is seen once.",
            source="Zhu et al., 2025; against it Verma, 2026, arXiv 2604.23434",
        ),
        measured="validation loss, nats a token",
        seeds=range(1, 6),
        train={**PLAIN, "learning_rate": RATE, "steps": round(250 * longer)},
        measure=train_arm,
        conclude=partial(
            differences,
            metric="val_loss",
            against=BEFORE,
            expected={SQUASHED: NO_DIFFERENCE},
        ),
        **SQUASH,
    )


EXPERIMENT = Experiment(
    name="norm",
    question="Does normalising layer activations stabilise training, and where must the norm be?",
    studies=studies,
    answered_by=("largest-rate", "loss"),
    minutes=4.7,
)
