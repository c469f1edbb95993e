"""Tying: equal parameters, the text in pieces, what is concluded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from groundup import GPT, GPTConfig
from groundup.lab.experiment import Cell, Study, Values
from groundup.lab.experiments import tying
from groundup.lab.experiments.tying import NARROWER, TIED, UNTIED, narrower, parameters
from groundup.lab.measures.text import read_text
from tests.lab.results import losses, made, measured, toy
from tests.texts import text_file


def study(name: str) -> Study:
    return next(one for one in tying.EXPERIMENT.studies(6.0) if one.name == name)


@pytest.mark.parametrize("vocab_size", [30, 69, 1024, 4096])
def test_a_narrower_untied_model_is_as_large_as_the_tied_one(vocab_size: int) -> None:
    untied = GPTConfig(vocab_size=vocab_size, **tying.MODEL)
    size = parameters(untied.replace(tie_embeddings=True))
    narrow = narrower(untied, size)
    assert narrow.emb_dim < untied.emb_dim
    assert not narrow.tie_embeddings
    assert sum(p.numel() for p in GPT(narrow).parameters()) == pytest.approx(size, rel=0.01)


def test_a_text_in_pieces_is_the_text(tmp_path: Path) -> None:
    name = str(text_file(tmp_path, 1500))
    text, pieces = read_text(name), tying.text_in_pieces(name, 300)
    for one, other in zip(text.splits, pieces.splits, strict=True):
        assert other.n_tokens < one.n_tokens
        assert other.n_bytes == one.n_bytes
        written = [
            owner.tokenizer.decode(split.read(0, split.n_tokens).tolist())
            for owner, split in ((text, one), (pieces, other))
        ]
        assert written[0] == written[1]
    ids = pieces.splits[0].read(0, pieces.splits[0].n_tokens)
    share = np.bincount(ids) / len(ids)
    share = share[share > 0]
    assert pieces.unigram_entropy == pytest.approx(float(-(share * np.log(share)).sum()))


@pytest.mark.parametrize("name", ["characters", "pieces-1024"])
def test_toy_trainings_lead_to_a_verdict(tmp_path: Path, name: str) -> None:
    small = toy(study(name), steps=2, seeds=(1, 2))
    results = measured(small, tmp_path)
    finding = small.conclude(results)
    sizes = finding.figures["parameters"]
    assert sizes[UNTIED] > sizes[TIED]
    assert sizes[NARROWER] == pytest.approx(sizes[TIED], rel=0.02)
    assert len(finding.differences) == 2


def sized(by_arm: dict[str, float]) -> Callable[[Cell], Values]:
    of = losses(by_arm)

    def values(cell: Cell) -> Values:
        return {**of(cell), "parameters": 1000}

    return values


@pytest.mark.parametrize(
    ("name", "by_arm", "came_out"),
    [
        ("pieces-1024", {TIED: 4.0, UNTIED: 4.0, NARROWER: 4.1}, True),
        ("pieces-1024", {TIED: 4.0, UNTIED: 4.1, NARROWER: 4.1}, True),
        ("pieces-1024", {TIED: 4.0, UNTIED: 3.9, NARROWER: 4.1}, False),
        ("pieces-1024", {TIED: 4.0, UNTIED: 4.0, NARROWER: 4.0}, None),
        ("characters", {TIED: 2.0, UNTIED: 2.0, NARROWER: 2.01}, True),
        ("characters", {TIED: 2.0, UNTIED: 2.1, NARROWER: 2.0}, False),
    ],
)
def test_what_is_concluded(name: str, by_arm: dict[str, float], came_out: bool | None) -> None:
    one = study(name)
    assert one.conclude(made(one, sized(by_arm))).came_out is came_out
