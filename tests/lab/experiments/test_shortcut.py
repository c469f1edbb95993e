"""The experiment on shortcuts: its blocks by hand, its studies at toy size, its conclusions."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from groundup.config import GPTConfig
from groundup.lab.experiment import AT_INITIALISATION, Results
from groundup.lab.experiments.shortcut import (
    ATTENTION,
    BLOCK_OF,
    BOTH,
    EXPERIMENT,
    FEED_FORWARD,
    NAMES,
    NONE,
    OURS,
    XAVIER,
    conclude_depths,
    conclude_rates,
)
from groundup.lab.measures.initialisation import XavierStart
from groundup.lab.measures.parts import OWN
from groundup.model import GPT
from tests.lab.results import made_up

TINY: dict[str, Any] = {"context_length": 8, "emb_dim": 16, "n_heads": 2}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(random.Random(1).choices("abcdefghijklmnopq", k=25_000)))
    return str(path)


@pytest.mark.parametrize(
    ("name", "around_attention", "around_feed_forward"),
    [(BOTH, 1, 1), (ATTENTION, 1, 0), (FEED_FORWARD, 0, 1), (NONE, 0, 0)],
)
def test_a_block_has_the_shortcuts_of_its_name(name, around_attention, around_feed_forward):
    order = BLOCK_OF[name]
    model = GPT(GPTConfig(**TINY, n_layers=1, vocab_size=30, norm_order=order), parts=OWN)
    with torch.no_grad():
        XavierStart()(model)
    block: Any = model.blocks[0]
    x = torch.randn(2, 8, 16)
    y = around_attention * x + block.attn(block.attn_norm(x))
    expected = around_feed_forward * y + block.ffn(block.ffn_norm(y))
    torch.testing.assert_close(block(x), expected)


def test_an_arm_without_norms_has_none():
    model = GPT(GPTConfig(**TINY, n_layers=1, vocab_size=30, norm="none"), parts=OWN)
    assert not any("norm" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("scale", [1, 2, 12])
def test_all_cells_are_made_and_differ(scale):
    studies = EXPERIMENT.studies(scale)
    assert len({study.name for study in studies}) == len(studies)
    for study in studies:
        cells = study.cells()
        assert len(set(cells)) == len(cells)
        settings = [study.setting(cell, 65, "a text") for cell in cells if cell.seed == 1]
        told = [(s.config, s.train, s.start, s.options, s.cell.x) for s in settings]
        assert all(a != b for i, a in enumerate(told) for b in told[:i])
        enough = 32 if study.kind == AT_INITIALISATION else 1
        assert len(study.seeds) >= enough


def small_run(name: str, text: str) -> Results:
    """Results of a study at initialisation on short sequences, of few seeds and the last value."""
    study = next(s for s in EXPERIMENT.studies(1) if s.name == name)
    small = replace(
        study, model={**study.model, "context_length": 16}, seeds=(1, 2), xs=study.xs[-1:]
    )
    torch.set_flush_denormal(True)
    try:
        return Results(small, {c: small.measure(small.setting(c, 17, text)) for c in small.cells()})
    finally:
        torch.set_flush_denormal(False)


def test_gradients_of_untrained_models_fade_only_without_norms(text):
    results = small_run("gradient", text)
    assert results.study.conclude(results).came_out


def test_tokens_of_untrained_models_collapse_only_without_shortcuts(text):
    results = small_run("collapse", text)
    finding = results.study.conclude(results)
    assert "at least 0.99" in finding.verdict
    for start in (XAVIER, OURS):
        assert max(results.numbers("cosine", NAMES[True, True, start], 16.0)) < 0.8


def trained(trains: dict[str, list[float]], xs: tuple[float, ...]) -> Results:
    """Results of arms that train at some of the values."""
    cells = {
        arm: {x: [{"train_loss": 2.5, "trains": x in of_arm, "lost": False}] for x in xs}
        for arm, of_arm in trains.items()
    }
    return made_up(cells, x_name="depth", seeds=(1,))


@pytest.mark.parametrize(
    ("both", "attention", "none", "came_out"),
    [
        ([1, 4, 24], [1, 4], [1], True),
        ([1, 4], [1, 4], [1], False),
        ([1, 4, 24], [1, 4], [1, 4, 24], False),
        ([1, 4, 24], [1], [1, 4], False),
    ],
)
def test_depths_come_out_if_both_train_everywhere_and_none_only_where_shallow(
    both, attention, none, came_out
):
    trains = {BOTH: both, ATTENTION: attention, FEED_FORWARD: [1, 4], NONE: none}
    assert conclude_depths(trained(trains, (1.0, 4.0, 24.0))).came_out is came_out


def test_a_rate_that_trains_without_shortcuts_refutes_the_prediction():
    rates = (1e-3, 1e-2)
    assert conclude_rates(trained({BOTH: [1e-3], NONE: []}, rates)).came_out
    assert not conclude_rates(trained({BOTH: [1e-3], NONE: [1e-2]}, rates)).came_out
