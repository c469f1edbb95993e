"""The model itself: padding changes nothing, and what learns is what should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from groundup import GPT, GPTConfig
from groundup.finetune import Classifier
from groundup.finetune.classifier.step import ClassifyStep
from groundup.finetune.settings import LAYERS
from groundup.optim.balance import ExpertBalance
from groundup.runs.classifier import POOLINGS

SMALL = {"vocab_size": 61, "context_length": 256, "emb_dim": 32, "n_heads": 4, "n_layers": 3}
VARIANTS: dict[str, dict[str, Any]] = {
    "gpt-2": {"qkv_bias": True},
    "llama": {
        "position": "rope", "norm": "rmsnorm", "feed_forward": "swiglu", "n_kv_heads": 2,
        "bias": False,
    },
    "window": {"window": 16, "position": "rope"},
    "experts": {"n_experts": 4, "n_active_experts": 2, "position": "rope"},
}  # fmt: skip


def classifier(
    pooling: str = "last", dtype: torch.dtype = torch.float32, **changes: Any
) -> Classifier:
    torch.manual_seed(3)
    gpt = GPT(GPTConfig(**{**SMALL, **changes}))
    for parameter in gpt.parameters():  # no swap hides
        torch.nn.init.normal_(parameter, std=0.1)
    return Classifier(gpt, 3, pooling).to(dtype).eval()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_nothing(variant: str, pooling: str) -> None:
    model = classifier(pooling, **VARIANTS[variant])
    texts = [torch.randint(61, (1, n)) for n in (1, 2, 7, 23, 50)]
    alone = torch.cat([model(text, torch.tensor([text.shape[1]])) for text in texts])
    lengths = torch.tensor([text.shape[1] for text in texts])
    largest = alone.abs().max()
    for pad in (0, 1, 13, 200):
        rows = torch.randint(61, (len(texts), 50 + pad))
        for row, text in zip(rows, texts, strict=True):
            row[: text.shape[1]] = text[0]
        together = model(rows, lengths)
        assert (together - alone).abs().max() <= 1e-5 * largest
        assert model(rows[2:3], lengths[2:3]).sub(alone[2:3]).abs().max() <= 1e-5 * largest


def test_the_mean_is_over_the_text_alone_whatever_stands_behind_it() -> None:
    model = classifier("mean")
    hidden = torch.randn(2, 5, 32)
    expected = torch.stack([hidden[0, :3].mean(0), hidden[1].mean(0)])
    hidden[0, 3:] = torch.nan
    assert torch.allclose(model.pool(hidden, torch.tensor([3, 5])), expected)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("tied", [True, False])
def test_what_learns_gets_a_gradient_and_nothing_else_does(layers: str, tied: bool) -> None:
    model = classifier("mean", tie_embeddings=tied)
    model.learn_only(layers)
    loss, n = ClassifyStep(model)(*batch())
    loss.backward()
    assert n == 4
    learns = {name for name, p in model.stored().items() if p.requires_grad}
    assert learns == {name for name, p in model.stored().items() if p.grad is not None}
    expected = {
        "head": {"head.weight"},
        "last": {n for n in model.stored() if n.startswith(("blocks.2.", "final_norm.", "head."))},
        "all": set(model.stored()) - {"lm_head.weight"},
    }
    assert learns == expected[layers]


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(61, (4, 12), generator=generator)
    lengths, labels = torch.tensor([3, 12, 1, 8]), torch.tensor([0, 2, 1, 0])
    return tokens, lengths, labels, torch.tensor([0.5, 2.0, 1.0, 0.5])


def gradients(model: Classifier, parts: list[list[int]]) -> dict[str, Tensor]:
    step = ClassifyStep(model)
    n_in_all = 0
    for part in parts:
        loss, n = step(*(array[part] for array in batch()))
        loss.backward()
        n_in_all += int(n)
    return {n: p.grad / n_in_all for n, p in model.stored().items() if p.grad is not None}


@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_gradient_is_the_same_however_a_batch_is_split(dtype: torch.dtype, most: float) -> None:
    whole = gradients(classifier("mean", dtype), [[0, 1, 2, 3]])
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for parts in ([[0], [1], [2], [3]], [[0, 3], [1, 2]], [[2], [3, 0, 1]]):
        split = gradients(classifier("mean", dtype), parts)
        for name, gradient in whole.items():
            assert (split[name] - gradient).abs().max() <= most * largest, name


@pytest.mark.parametrize("pad", [0, 9])
def test_experts_are_kept_busy_by_what_is_read_and_not_by_padding(pad: int) -> None:
    model = classifier(**VARIANTS["experts"]).train()
    tokens, lengths, labels, weights = batch()
    plain, count = ClassifyStep(model)(tokens, lengths, labels, weights)
    step, balance = ClassifyStep(model, balance_loss=0.5), ExpertBalance(model)
    scores: list[list[Tensor]] = [[] for _ in model.gpt.blocks]
    for row, length in zip(tokens, lengths, strict=True):  # each text alone, without padding
        model(row[None, :length], length[None])
        for of_block, found in zip(scores, balance.scores, strict=True):
            of_block.append(found)
        balance.scores.clear()
    balance.scores = [torch.cat(of_block) for of_block in scores]
    expected = plain + 0.5 * balance.take() * count
    padded = torch.cat([tokens, torch.full((len(tokens), pad), 7)], dim=1)
    given = {"tokens": padded, "lengths": lengths, "labels": labels, "weights": weights}
    torch.testing.assert_close(step(**given)[0], expected)
    model.zero_grad()
    step(**given | {"weights": weights * 0})[0].backward()
    router = model.gpt.get_submodule("blocks.2.ffn.router")
    assert all(p.grad is not None and p.grad.any() for p in router.parameters())
    step.eval()
    torch.testing.assert_close(step(**given)[0], plain)
