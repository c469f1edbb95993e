"""Shortcut connections: do gradients fade without them, and can a deep network be trained?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from groundup.lab.conclusions import HIGHER, differences, sweep
from groundup.lab.conclusions.book_network import BOOK_SEED, WITH, WITHOUT, conclude_book_network
from groundup.lab.conclusions.cut_blocks import conclude_cuts
from groundup.lab.conclusions.fading import conclude_cosine, conclude_gradients
from groundup.lab.conclusions.predicted import largest, with_predictions
from groundup.lab.experiment import (
    AT_INITIALISATION,
    TRAINED,
    Arm,
    Experiment,
    Finding,
    Prediction,
    Results,
    Study,
    swept,
    swept_setting,
)
from groundup.lab.measures.book_network import measure_book_network
from groundup.lab.measures.cut_blocks import train_and_cut
from groundup.lab.measures.fading import measure_cosine, measure_gradients
from groundup.lab.measures.initialisation import NormalStart, XavierStart
from groundup.lab.measures.parts import OWN
from groundup.lab.measures.training import PLAIN, train_arm
from groundup.model import GPT
from groundup.model.init import STANDARD_DEVIATION
from groundup.model.positions import LearnedPositions

SCALED, UNSCALED = "residual scaling", "no residual scaling"
BOTH, ATTENTION, FEED_FORWARD, NONE = "both", "only attention", "only feed-forward", "none"
BLOCK_OF = {BOTH: "pre", ATTENTION: "attention", FEED_FORWARD: "feed_forward", NONE: "none"}

XAVIER, OURS = "Xavier", "our start"
SMALL = {"context_length": 64, "emb_dim": 64, "n_heads": 4}  # narrower, our start meets norm_eps
NARROW = {"context_length": 64, "emb_dim": 48, "n_heads": 3}
DEPTHS_COLLAPSE = (4.0, 8.0, 16.0)
N_BLOCKS = 12
FADING = 0.4
"""What a block without shortcuts and norms leaves of small signals and gradients with Xavier's
initialisation: 1/2 of a GELU near 0, sqrt(2/5) and sqrt(8/5) of the two matrices of a feed-forward
four times as wide, 1 of attention's."""


def unit_embeddings(model: GPT) -> None:
    """Start with Xavier's matrices and embeddings of variance 1 (Vaswani et al., 2017)."""
    XavierStart()(model)
    for module in model.modules():
        if isinstance(module, nn.Embedding | LearnedPositions):
            module.weight.mul_(1 / STANDARD_DEVIATION)


def untrained_arm(shortcuts: bool, norms: bool, start: str) -> Arm:
    """Return an untrained transformer with or without shortcuts and norms."""
    return Arm(
        name=NAMES[shortcuts, norms, start],
        model={
            "norm_order": "pre" if shortcuts else "none",
            "norm": "layernorm" if norms else "none",
        },
        parts=OWN,
        start=unit_embeddings if start == XAVIER else lambda model: None,
        options={"shortcuts": shortcuts, "norms": norms, "start": start},
    )


NAMES = {
    (shortcuts, norms, start): (
        f"{'' if shortcuts else 'no '}shortcuts, {'' if norms else 'no '}norms, {start}"
    )
    for start in (XAVIER, OURS)
    for norms in (True, False)
    for shortcuts in (True, False)
}
FADE_EXPECTED = {
    **dict.fromkeys(NAMES.values(), (0.9, math.inf)),
    NAMES[False, False, XAVIER]: (FADING - 0.1, FADING + 0.1),
    NAMES[False, False, OURS]: (0.0, 0.01),
}
COLLAPSE_PAIRS = [
    (NAMES[False, True, XAVIER], NAMES[True, True, XAVIER]),
    (NAMES[False, False, XAVIER], NAMES[True, False, XAVIER]),
    (NAMES[False, True, OURS], NAMES[True, True, OURS]),
]


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


def gradient_study() -> Study:
    """Return which gradients enter the blocks of untrained transformers."""
    return Study(
        name="gradient",
        title="The gradient that enters each block",
        kind=AT_INITIALISATION,
        prediction=Prediction(
            says=f"with Xavier's start a block without shortcuts and norms leaves {FADING:g} "
            "(within 0.1) of the gradient, with our smaller one at most 0.01; with norms or with "
            "shortcuts a block leaves at least 0.9: a norm divides by the size of what comes in, "
            "so that what the matrices take, it gives back",
            source="ours, from variances as in Glorot and Bengio, 2010; He et al., 2016, for "
            "shortcuts",
        ),
        equal=f"{N_BLOCKS} blocks, 64 wide, 4 heads, 2 sequences of 64 characters, numbers drawn",
        measured="Frobenius norm of the gradient that enters each block, and of its matrices'",
        arms=[untrained_arm(*key) for key in NAMES],
        seeds=range(1, 33),
        model={**SMALL, "n_layers": N_BLOCKS},
        measure=measure_gradients,
        conclude=partial(conclude_gradients, expected=FADE_EXPECTED),
    )


def collapse_study() -> Study:
    """Return whether the tokens of untrained transformers collapse to one direction."""
    wanted = {name for pair in COLLAPSE_PAIRS for name in pair}
    return Study(
        name="collapse",
        title="Tokens collapse to one direction",
        kind=AT_INITIALISATION,
        prediction=Prediction(
            says="without shortcuts the cosine between tokens goes to 1 with depth, above 0.99 "
            "after 16 blocks, with norms and without; with shortcuts it is smaller at every depth",
            source="Dong et al., 2021, of attention alone; ours with feed-forwards",
        ),
        equal="64 wide, 4 heads, 2 sequences of 64 characters, numbers drawn",
        measured="mean cosine between the vectors of two tokens of a sequence after the last block",
        arms=[untrained_arm(*key) for key, name in NAMES.items() if name in wanted],
        seeds=range(1, 33),
        xs=DEPTHS_COLLAPSE,
        x_name="blocks",
        at=swept("n_layers"),
        model=SMALL,
        measure=measure_cosine,
        conclude=partial(conclude_cosine, pairs=COLLAPSE_PAIRS),
    )


def trained_arms() -> list[Arm]:
    """Return transformers with both shortcuts, with one of them and with none."""
    return [Arm(name=n, model={"norm_order": b}, parts=OWN) for n, b in BLOCK_OF.items()]


RATE = 1e-3
STEPS = 180
HELD = "48 wide, 3 heads, norms, batches of 16 x 64 characters, AdamW at a fixed rate, the start"


def depth_study(train: dict[str, Any], depths: Sequence[float]) -> Study:
    """Return up to which depth models train."""
    return Study(
        name="depth",
        title="Which depth trains",
        kind=TRAINED,
        prediction=Prediction(
            says="with both shortcuts every depth trains; with none no model of 12 blocks or more "
            "leaves the unigram entropy; with one of the two the limit is between",
            source="He et al., 2016; ours, from a try with one seed",
        ),
        equal=HELD,
        measured="training loss, nats a token, mean over the last tenth",
        arms=trained_arms(),
        seeds=(1,),
        xs=depths,
        x_name="depth",
        at=swept("n_layers"),
        model=NARROW,
        train=train,
        measure=train_arm,
        conclude=conclude_depths,
    )


def conclude_depths(results: Results) -> Finding:
    """Conclude up to which depth each arm trains, and whether it is as predicted."""
    finding = sweep(results)
    last = largest(finding)
    both = [results.get(BOTH, x) for x in results.study.xs]
    one = (ATTENTION, FEED_FORWARD)
    return with_predictions(
        finding,
        {
            "both: every depth trains": all(values["trains"] for values in both),
            f"none: no depth of {N_BLOCKS} or more trains": last[NONE] < N_BLOCKS,
            "one of the two: no less than none, no more than both": all(
                last[NONE] <= last[a] <= last[BOTH] for a in one
            ),
        },
    )


def seeds_study(train: dict[str, Any], seeds: Sequence[int]) -> Study:
    """Return the differences at one depth, over paired seeds."""
    return Study(
        name="four-blocks",
        title="Four blocks, several seeds",
        kind=TRAINED,
        prediction=Prediction(
            says="each shortcut that is missing costs training loss",
            source="He et al., 2016; ours, from a try with one seed",
        ),
        equal=f"4 blocks, {HELD}",
        measured="training loss, nats a token, mean over the last tenth",
        arms=trained_arms(),
        seeds=seeds,
        model={**NARROW, "n_layers": 4},
        train=train,
        measure=train_arm,
        conclude=partial(
            differences,
            metric="train_loss",
            against=BOTH,
            expected=dict.fromkeys((ATTENTION, FEED_FORWARD, NONE), HIGHER),
        ),
    )


def cut_study(train: dict[str, Any], seeds: Sequence[int]) -> Study:
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
        equal=f"8 blocks, {HELD} but for its scaling, both shortcuts",
        measured="validation loss, nats a token, of the changed model; training loss of the whole",
        arms=[
            Arm(name=SCALED),
            Arm(name=UNSCALED, start=NormalStart(std=STANDARD_DEVIATION, shrunk=False)),
        ],
        seeds=seeds,
        model={**NARROW, "n_layers": 8},
        train=train,
        measure=train_and_cut,
        conclude=partial(conclude_cuts, against=SCALED),
    )


def rate_study(train: dict[str, Any]) -> Study:
    """Return whether another learning rate would train a model without shortcuts."""
    return Study(
        name="rate",
        title="Other learning rates, four blocks",
        kind=TRAINED,
        prediction=Prediction(
            says="without shortcuts four blocks train at none of seven rates", source="ours"
        ),
        equal=f"4 blocks, {HELD} but for its rate",
        measured="training loss, nats a token, mean over the last tenth",
        arms=[arm for arm in trained_arms() if arm.name != FEED_FORWARD],
        seeds=(1,),
        xs=(3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
        x_name="learning rate",
        at=swept_setting("learning_rate"),
        model={**NARROW, "n_layers": 4},
        train=train,
        measure=train_arm,
        conclude=conclude_rates,
    )


def conclude_rates(results: Results) -> Finding:
    """Conclude at which rates each arm trains, and whether none does without shortcuts."""
    finding = sweep(results)
    return replace(finding, came_out=finding.figures["largest_that_trains"][NONE] is None)


def studies(scale: float) -> list[Study]:
    """Return the studies: with more time more seeds, steps, depths and learning rates."""
    steps = max(STEPS, round(STEPS * scale / 2.5))
    train = {**PLAIN, "learning_rate": RATE, "steps": steps}
    seeds = range(1, 6) if scale < 2 else range(1, 11)
    depths = (1.0, 2.0, 4.0, 12.0, 24.0) if scale < 12 else (1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 48.0)
    return [
        book_study(),
        gradient_study(),
        collapse_study(),
        depth_study(train, depths),
        seeds_study(train, seeds),
        cut_study(train, seeds),
        *([rate_study(train)] if scale >= 2 else []),
    ]


EXPERIMENT = Experiment(
    name="shortcut",
    question="Do gradients fade without shortcut connections, and can deep models train?",
    studies=studies,
    answered_by=("gradient", "depth"),
    minutes=3.9,
)
