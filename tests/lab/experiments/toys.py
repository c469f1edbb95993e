"""An experiment's studies at toy size, and made-up results for what they conclude."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from groundup.lab.experiment import TRAINED, Cell, Finding, Results, Study, Values

VOCABULARY = 69
TINY = {"emb_dim": 8, "n_heads": 2, "context_length": 8}


def write_text(folder: Path) -> str:
    """A text long enough for the lab, and its path."""
    path = folder / "text.txt"
    path.write_text("the cat sat on the mat and the dog lay by the log; who knows why?\n" * 400)
    return str(path)


def named(studies: Sequence[Study], name: str) -> Study:
    return next(study for study in studies if study.name == name)


def trained_tokens(studies: Sequence[Study]) -> int:
    """Tokens that all trainings of an experiment learn from."""
    total = 0
    for study in studies:
        for cell in study.cells() if study.kind == TRAINED else ():
            setting = study.setting(cell, VOCABULARY, "")
            rows = setting.train.steps * setting.train.sequences_per_step
            total += rows * setting.config.context_length
    return total


def at_toy_size(study: Study) -> Study:
    """The study with tiny models, few steps, seeds and values."""
    seeds = 1 if study.kind == TRAINED and len(study.xs) > 1 else 2
    train = {**study.train, "steps": 3, "batch_size": 2} if study.train else {}
    model = {**study.model, **TINY, "n_layers": 2}
    few = study.xs[:2]
    if study.x_name in ("depth", "width"):
        few = tuple(float(8 * (i + 1)) for i in range(len(few)))
        model.pop({"depth": "n_layers", "width": "emb_dim"}[study.x_name])
    return replace(study, seeds=study.seeds[:seeds], xs=few, model=model, train=train)


def measured(study: Study, text: str) -> Finding:
    """What a study concludes from what it measures on a text."""
    torch.set_num_threads(1)
    vocab_size = len(set(Path(text).read_text())) + 1
    values = {cell: study.measure(study.setting(cell, vocab_size, text)) for cell in study.cells()}
    return study.conclude(Results(study, values))


def concluded(study: Study, made: Callable[[Cell], Values]) -> Finding:
    """What a study concludes from made-up figures."""
    return study.conclude(Results(study, {cell: made(cell) for cell in study.cells()}))
