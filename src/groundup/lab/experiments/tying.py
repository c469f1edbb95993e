"""Tying: whether the output head should be the token embedding itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from groundup.config import GPTConfig
from groundup.config.shapes import parameter_shapes
from groundup.data import TokenSplit
from groundup.lab.conclusions import HIGHER, NO_DIFFERENCE, differences
from groundup.lab.conclusions.measured import arms_of
from groundup.lab.conclusions.predicted import differs_by, is_seen, with_predictions
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
)
from groundup.lab.measures.text import LabText, read_text
from groundup.lab.measures.training import PLAIN, trained
from groundup.tokenizer import BPETokenizer

VOCABULARY = 1024
LITTLE = 0.05
"""Nats that are little here."""
MODEL: dict[str, Any] = {"context_length": 64, "emb_dim": 64, "n_heads": 4, "n_layers": 2}
TRAIN = {**PLAIN, "learning_rate": 3e-3, "batch_size": 8}
TIED, UNTIED, NARROWER = "tied", "untied", "untied, narrower"
ARMS = [
    Arm(name=TIED, model={"tie_embeddings": True}),
    Arm(name=UNTIED),
    Arm(name=NARROWER, options={"narrower": True}),
]


def studies(scale: float) -> Sequence[Study]:
    """Return the studies for so many times the default's time."""
    larger = [_pieces(scale, 4 * VOCABULARY)] if scale >= 5 else []
    return [_characters(scale), _pieces(scale, VOCABULARY), *larger]


def _characters(scale: float) -> Study:
    prediction = Prediction(
        says="There are so few characters that a head of its own is 4% of the model: no arm "
        f"differs by {LITTLE} nats from tied.",
        source="ours",
    )
    return _study("characters", "Tokens that are characters", prediction, scale, 0)


def _pieces(scale: float, vocab_size: int) -> Study:
    prediction = Prediction(
        says="A tied model learns at least as well as an untied one of equal width, though it has "
        "fewer parameters, and better than one of equal parameters, which is narrower.",
        source="Press and Wolf, 2017; Inan et al., 2017",
    )
    title = f"{vocab_size:,} tokens, pieces of words"
    return _study(f"pieces-{vocab_size}", title, prediction, scale, vocab_size)


def _study(name: str, title: str, prediction: Prediction, scale: float, vocab_size: int) -> Study:
    return Study(
        name=name,
        title=title,
        kind=TRAINED,
        prediction=prediction,
        equal="2 layers 64 wide, 4 heads, context 64 (tied and untied); parameters within 1% (tied "
        "and untied, narrower); data order, initial tensors of equal shape, steps, learning rate",
        measured="validation loss, nats a token; parameters",
        arms=ARMS,
        seeds=range(1, 6 if scale < 2 else 11),
        model=MODEL,
        train={**TRAIN, "steps": round(1000 * max(1.0, scale / 6))},
        options={"vocab_size": vocab_size},
        measure=measure_tied,
        conclude=conclude_pieces if vocab_size else conclude_characters,
    )


def measure_tied(setting: Setting) -> Values:
    """Train on the study's tokens and return what `train_arm` does, and parameters."""
    text, vocab_size = read_text(setting.text), setting.options["vocab_size"]
    if vocab_size:
        text = text_in_pieces(setting.text, vocab_size)
    tied, parts = setting.reference
    tied = tied.replace(vocab_size=text.tokenizer.vocab_size)
    config = setting.config.replace(vocab_size=text.tokenizer.vocab_size)
    if setting.options.get("narrower"):
        config = narrower(config, parameters(tied))
    setting = replace(setting, config=config, reference=(tied, parts))
    return {**trained(setting, text)[1], "parameters": parameters(config)}


@lru_cache(maxsize=2)
def text_in_pieces(name: str, vocab_size: int) -> LabText:
    """Return a text as tokens of a byte-pair encoding that was trained on its training part."""
    text = read_text(name)
    parts = [text.tokenizer.decode(split.read(0, split.n_tokens).tolist()) for split in text.splits]
    tokenizer = BPETokenizer.train(parts[:1], vocab_size)
    ids = [tokenizer.encode_array(part) for part in parts]
    shares = [float(n) / len(ids[0]) for n in np.bincount(ids[0]) if n]
    return replace(
        text,
        fingerprint=f"{text.fingerprint}-{vocab_size}",
        tokenizer=tokenizer,
        splits=(
            TokenSplit.from_array(ids[0], text.splits[0].n_bytes),
            TokenSplit.from_array(ids[1], text.splits[1].n_bytes),
        ),
        unigram_entropy=-sum(share * math.log(share) for share in shares),
    )


def parameters(config: GPTConfig) -> int:
    """Return how many parameters a model has; a tied head is counted once."""
    return sum(parameter.size for parameter in parameter_shapes(config))


def narrower(config: GPTConfig, size: int) -> GPTConfig:
    """Return a config as `config` of about `size` parameters.

    Its width is the largest multiple of its heads with which it is not larger; the feed-forward
    network takes up the rest.
    """
    width = config.emb_dim
    while width > config.n_heads and parameters(config.replace(emb_dim=width)) > size:
        width -= config.n_heads
    narrow = config.replace(emb_dim=width)
    missing = (size - parameters(narrow)) / (config.n_layers * (2 * width + 1))
    return narrow.replace(ffn_dim=narrow.ffn_dim + round(missing))


def conclude_characters(results: Results) -> Finding:
    """Return the differences from the tied model; small ones were predicted."""
    finding = differences(results, "val_loss", against=TIED)
    close = {
        f"{arm}: within {LITTLE} nats of tied": differs_by(finding, arm, -LITTLE, LITTLE)
        for arm in (UNTIED, NARROWER)
    }
    return with_predictions(_with_sizes(finding, results), close)


def conclude_pieces(results: Results) -> Finding:
    """Return the differences from the tied model."""
    finding = differences(results, "val_loss", against=TIED)
    alike = is_seen(finding, UNTIED, NO_DIFFERENCE)
    not_better = None if alike is None else alike or is_seen(finding, UNTIED, HIGHER)
    return with_predictions(
        _with_sizes(finding, results),
        {
            "untied is not better at equal width": not_better,
            "untied is worse at equal parameters": is_seen(finding, NARROWER, HIGHER),
        },
    )


def _with_sizes(finding: Finding, results: Results) -> Finding:
    """Return the finding with the parameters of each arm; its answer names the tokens."""
    sizes = {arm: int(results.get(arm)["parameters"]) for arm in arms_of(results)}
    table = Table(
        title="Parameters, a tied head counted once",
        head=["arm", "parameters"],
        rows=[[arm, f"{size:,}"] for arm, size in sizes.items()],
    )
    return replace(
        finding,
        answer=f"{results.study.title}: {finding.verdict}",
        tables=[*finding.tables, table],
        figures={**finding.figures, "parameters": sizes},
    )


EXPERIMENT = Experiment(
    name="tying",
    question="Should the output head be the token embedding itself?",
    studies=studies,
    minutes=3.4,
)
