"""The first pass of an untrained model against autograd by hand; what models can start from."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from groundup.lab.experiment import AT_INITIALISATION, Arm, Finding, Prediction, Setting, Study
from groundup.lab.measures.initialisation import (
    NormalStart,
    XavierStart,
    first_batch,
    first_pass,
    variance,
)
from groundup.lab.measures.training import new_model


def setting(text: str, *arms: Arm, seed: int = 1, **model: int) -> Setting:
    """The setting of the last of `arms`, which shares tensors with the first."""
    study = Study(
        name="toy",
        title="",
        kind=AT_INITIALISATION,
        prediction=Prediction(says="", source=""),
        equal="",
        measured="",
        arms=arms,
        seeds=(1, 2),
        model={"emb_dim": 16, "n_heads": 2, "n_layers": 3, "context_length": 8, **model},
        measure=lambda setting: {},
        conclude=lambda results: Finding(verdict="", came_out=None),
    )
    cell = next(c for c in study.cells() if c.arm == arms[-1].name and c.seed == seed)
    return study.setting(cell, vocab_size=30, text=text)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("the cat sat on the mat and the dog lay by the log. " * 500)
    return str(path)


def test_streams_are_what_the_blocks_see_with_the_gradient_of_the_loss(text):
    given = setting(text, Arm(name="plain"))
    done = first_pass(given, n_sequences=2)
    model = new_model(given)
    tokens, targets = first_batch(given, 2)
    x = model.token_embedding(tokens) + model.position_embedding.weight[:8]
    streams = [x]
    for block in model.blocks:
        streams.append(block(streams[-1]))
    logits = model.lm_head(model.final_norm(streams[-1]))
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    expected = torch.autograd.grad(loss, streams)
    assert done.loss == pytest.approx(loss.item(), rel=1e-6)
    assert len(done.streams) == len(streams) == 4
    for ours, stream, gradient in zip(done.streams, streams, expected, strict=True):
        torch.testing.assert_close(ours, stream)
        torch.testing.assert_close(ours.grad, gradient)


def test_the_seed_picks_the_sequences_and_every_parameter(text):
    starts = Arm(name="plain"), Arm(name="xavier", start=XavierStart())
    once, again, other = (first_pass(setting(text, *starts, seed=s)) for s in (1, 1, 2))
    assert once.loss == again.loss != other.loss
    tokens, targets = first_batch(setting(text, *starts), 3)
    assert tokens.shape == targets.shape == (3, 8)
    assert torch.equal(tokens[:, 1:], targets[:, :-1])


def test_the_variance_is_that_within_a_vector():
    stream = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
    expected = sum(((x - x.mean()) ** 2).mean().item() for x in stream.view(10, 16)) / 10
    assert variance(stream) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("start", "stds"),
    [
        (NormalStart(0.1), {"up": 0.1, "down": 0.1 / math.sqrt(6), "out": 0.1 / math.sqrt(6)}),
        (NormalStart(0.1, shrunk=False), {"down": 0.1, "out": 0.1, "query": 0.1}),
        (XavierStart(), {"up": math.sqrt(2 / 320), "down": math.sqrt(2 / 320), "out": 0.125}),
        (XavierStart(shrunk=True), {"query": 0.125, "out": 0.125 / math.sqrt(6)}),
    ],
)
def test_a_start_draws_each_matrix_with_its_deviation(text, start, stds):
    model = new_model(setting(text, Arm(name="own", start=start), emb_dim=64))
    block = model.blocks[1]
    for name, std in stds.items():
        of = block.ffn if name in ("up", "down") else block.attn
        assert getattr(of, name).weight.std().item() == pytest.approx(std, rel=0.05), name
    embedded = 0.1 if isinstance(start, NormalStart) else 0.02
    assert model.token_embedding.weight.std().item() == pytest.approx(embedded, rel=0.05)
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("tied", [False, True])
def test_the_start_of_002_leaves_the_model_as_it_was_made(text, tied):
    plain, own = (
        new_model(setting(text, Arm(name="a", start=start), tie_embeddings=tied))
        for start in (lambda model: None, NormalStart(0.02))
    )
    for (name, a), b in zip(plain.named_parameters(), own.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_tied_embeddings_are_scaled_once(text):
    plain, own = (
        new_model(setting(text, Arm(name="a", start=NormalStart(std)), tie_embeddings=True))
        for std in (0.02, 0.2)
    )
    torch.testing.assert_close(own.lm_head.weight, 10 * plain.lm_head.weight)


def test_arms_share_what_is_random(text):
    first = Arm(name="first", model={"n_layers": 2})
    deeper = Arm(name="deeper", model={"n_layers": 3}, start=XavierStart(shrunk=True))
    model, reference = new_model(setting(text, first, deeper)), new_model(setting(text, first))
    assert torch.equal(model.token_embedding.weight, reference.token_embedding.weight)
    ours: Any = model.blocks[0]
    theirs: Any = reference.blocks[0]
    torch.testing.assert_close(ours.attn.query.weight, theirs.attn.query.weight * 0.25 / 0.02)
