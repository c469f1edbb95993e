"""Attention: why scores are divided by sqrt(head_dim), and what heads, groups and windows do."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from groundup.lab.conclusions import HIGHER, differences, slopes
from groundup.lab.conclusions.predicted import differs_by, is_seen, with_predictions
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
)
from groundup.lab.measures.initialisation import first_batch
from groundup.lab.measures.training import PLAIN, new_model, train_arm
from groundup.model import CAUSAL, GPT, attention_weights

SCORE_MODEL: dict[str, Any] = {
    "context_length": 64,
    "emb_dim": 256,
    "n_heads": 1,
    "n_layers": 1,
}
HEAD_DIMS = (8.0, 16.0, 32.0, 64.0, 128.0)
PRODUCT, ROOT, WHOLE = "not divided", "by sqrt(head_dim)", "by head_dim"
MODEL: dict[str, Any] = {"context_length": 64, "emb_dim": 64, "n_heads": 4, "n_layers": 2}
TRAIN = {**PLAIN, "learning_rate": 3e-3, "batch_size": 8}
STEPS = 1200
SHARED = "4 heads, 1 of keys and values"
LITTLE = 0.05
"""Nats that are little here."""


def studies(scale: float) -> Sequence[Study]:
    """Return the studies for so many times the default's time."""
    return [_scores(), _heads(scale), _window(scale)]


def _scores() -> Study:
    return Study(
        name="scores",
        title="Spread of the attention scores by the width of a head",
        kind=AT_INITIALISATION,
        prediction=Prediction(
            says="The standard deviation of the product of a query and a key grows as "
            "head_dim^0.5 (slope 0.5 within 0.05), stays level once it is divided by "
            "sqrt(head_dim), and falls as head_dim^-0.5 if divided by head_dim; the larger it is, "
            "the fewer tokens share the attention.",
            source="Vaswani et al., 2017, section 3.2.1: a sum of head_dim products of variance 1",
        ),
        equal="1 layer 256 wide, 1 head, 8 sequences of 64 tokens; queries and keys of variance 1",
        measured="standard deviation of the scores over all pairs of tokens that see each other; "
        "entropy of the weights as a share of the largest possible",
        arms=[Arm(name=name) for name in (PRODUCT, ROOT, WHOLE)],
        seeds=tuple(range(1, 33)),
        xs=HEAD_DIMS,
        x_name="head_dim",
        at=_divided,
        model=SCORE_MODEL,
        measure=measure_scores,
        conclude=conclude_scores,
    )


def _divided(arm: Arm, x: float) -> Arm:
    """Set the width of a head, and by the square root of what the scores are divided."""
    by = {PRODUCT: 1.0, ROOT: x, WHOLE: x**2}[arm.name]
    return replace(
        arm, model={**arm.model, "head_dim": int(x), "query_pre_attn_scalar": by}, start=unit_start
    )


def unit_start(model: GPT) -> None:
    """Draw queries' and keys' matrices anew so that both have variance 1 of vectors that do."""
    for name, projection in model.named_modules():
        if isinstance(projection, nn.Linear) and name.endswith(("attn.query", "attn.key")):
            nn.init.normal_(projection.weight, std=1 / math.sqrt(projection.in_features))


def measure_scores(setting: Setting) -> Values:
    """Return what an untrained first layer's scores and weights are like on 8 pieces of text.

    spread_of_scores: standard deviation of the scores; entropy_share: the weights' entropy over the
    logarithm of how many tokens are seen, 1 where all have the same weight.
    """
    model = new_model(setting)
    length, head_dim = setting.config.context_length, setting.config.head_dim
    tokens, _ = first_batch(setting, 8)
    block: Any = model.blocks[0]
    with torch.no_grad():
        x = block.attn_norm(model.position_embedding(model.embedded(tokens), slice(0, length)))
        query, key = (
            projection(x).unflatten(-1, (-1, head_dim)).transpose(1, 2)
            for projection in (block.attn.query, block.attn.key)
        )
        scores = query @ key.transpose(-2, -1) * block.attn.scale
        seen = CAUSAL.table(length, length, scores.device)
        weights = attention_weights(query, key, CAUSAL, block.attn.scale)
        entropy = torch.special.entr(weights).sum(-1)[..., 1:]
        largest = torch.arange(2, length + 1).log()
    return {
        "spread_of_scores": float(scores[..., seen].std()),
        "entropy_share": float((entropy / largest).mean()),
    }


def conclude_scores(results: Results) -> Finding:
    """Return the slopes of the spread over head_dim, and how evenly attention is shared."""
    expected = {PRODUCT: (0.45, 0.55), ROOT: (-0.05, 0.05), WHOLE: (-0.55, -0.45)}
    finding = slopes(results, "spread_of_scores", expected, "standard deviation of the scores")
    xs = results.study.xs
    shares = {
        arm: [statistics.fmean(results.numbers("entropy_share", arm, x)) for x in xs]
        for arm in expected
    }
    table = Table(
        title="Entropy of the attention weights, as a share of the largest possible",
        head=["scores", *(f"head_dim {x:.0f}" for x in xs)],
        rows=[[arm, *(f"{share:.2f}" for share in row)] for arm, row in shares.items()],
    )
    answer = (
        f"At head_dim {xs[-1]:.0f} attention keeps {shares[PRODUCT][-1]:.0%} of the largest "
        f"entropy if the scores are not divided, {shares[ROOT][-1]:.0%} if they are divided by "
        "sqrt(head_dim)."
    )
    return replace(
        finding,
        verdict=f"{finding.verdict} {answer}",
        answer=answer,
        tables=[*finding.tables, table],
        figures={**finding.figures, "entropy_share": shares},
    )


def _heads(scale: float) -> Study:
    arms = [
        _heads_arm("4 heads", 4, 4),
        _heads_arm("1 head", 1, 1),
        _heads_arm(SHARED, 4, 1),
    ]
    if scale >= 2:
        arms += [
            _heads_arm("2 heads", 2, 2),
            _heads_arm("8 heads", 8, 8),
            _heads_arm("4 heads, 2 of keys and values", 4, 2),
        ]
    return Study(
        name="heads",
        title="Number of heads, and heads that share keys and values",
        kind=TRAINED,
        prediction=Prediction(
            says="One head as wide as four learns worse than the four. Four that share one head of "
            "keys and values, with the parameters that this saves given to the feed-forward "
            f"network, lose less than {LITTLE} nats: 0.01 in the paper.",
            source="Vaswani et al., 2017, table 3 (A); Shazeer, 2019: perplexity 30.2 against 29.9",
        ),
        equal="2 layers 64 wide, context 64; parameters within 1%; data order, initial tensors of "
        "equal shape, steps, learning rate",
        measured="validation loss, nats a token",
        arms=arms,
        seeds=_seeds(scale),
        model=MODEL,
        train={**TRAIN, "steps": _steps(scale)},
        measure=train_arm,
        conclude=conclude_heads,
    )


def _heads_arm(name: str, heads: int, shared: int) -> Arm:
    """Return an arm whose feed-forward network is wider by what shared keys and values save."""
    width = MODEL["emb_dim"]
    saved = 2 * width * (width - shared * (width // heads))
    wider = round(saved / (2 * width + 1))
    return Arm(
        name=name,
        model={"n_heads": heads, "n_kv_heads": shared, "ffn_dim": 4 * width + wider},
    )


def conclude_heads(results: Results) -> Finding:
    """Return the differences from four heads, and what each arm remembers of a token."""
    finding = differences(results, "val_loss", against="4 heads")
    sizes = {
        arm.name: 2
        * MODEL["n_layers"]
        * arm.model["n_kv_heads"]
        * MODEL["emb_dim"]
        // arm.model["n_heads"]
        for arm in results.study.arms
    }
    table = Table(
        title="What a cache keeps of a token: keys and values of all layers",
        head=["arm", "numbers"],
        rows=[[arm, str(size)] for arm, size in sizes.items()],
    )
    finding = replace(finding, tables=[*finding.tables, table], figures={"cache_numbers": sizes})
    return with_predictions(
        finding,
        {
            "1 head is worse": is_seen(finding, "1 head", HIGHER),
            f"sharing 1 head of keys and values loses less than {LITTLE} nats": differs_by(
                finding, SHARED, -math.inf, LITTLE
            ),
        },
    )


def _window(scale: float) -> Study:
    windows = (16, 4) if scale < 2 else (64, 32, 16, 8, 4)
    return Study(
        name="window",
        title="How far a token may look",
        kind=TRAINED,
        prediction=Prediction(
            says="A window of 4 tokens in each layer learns worse than the whole context, one of "
            f"16 loses less than {LITTLE} nats: layers hand on what they saw, so that two reach "
            "back 2 x 15 tokens.",
            source="Beltagy et al., 2020, section 3; Jiang et al., 2023, figure 1",
        ),
        equal="2 layers 64 wide, 4 heads, context 128; data order, initial tensors, steps, "
        "learning rate",
        measured="validation loss, nats a token",
        arms=[
            Arm(name="all 128"),
            *(Arm(name=f"window {window}", model={"window": window}) for window in windows),
        ],
        seeds=_seeds(scale),
        model={**MODEL, "context_length": 128},
        train={**TRAIN, "steps": _steps(scale), "batch_size": 4},
        measure=train_arm,
        conclude=conclude_window,
    )


def conclude_window(results: Results) -> Finding:
    """Return the differences from the whole context."""
    finding = differences(results, "val_loss", against="all 128")
    return with_predictions(
        finding,
        {
            "window 4 is worse": is_seen(finding, "window 4", HIGHER),
            f"window 16 loses less than {LITTLE} nats": differs_by(
                finding, "window 16", -math.inf, LITTLE
            ),
        },
    )


def _seeds(scale: float) -> Sequence[int]:
    return range(1, 6 if scale < 4 else 11)


def _steps(scale: float) -> int:
    return round(STEPS * max(1.0, scale / 4))


EXPERIMENT = Experiment(
    name="attention",
    question="Why are attention scores divided by sqrt(head_dim), and what do more heads, shared "
    "keys and values, and a window change?",
    studies=studies,
    minutes=3.5,
)
