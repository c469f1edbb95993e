"""The losses of preferences against their formulas, on all logits and in fp64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from groundup import GPT, GPTConfig
from groundup.data.batch import IGNORED
from groundup.finetune.preferences.step import DPOStep, ORPOStep, PreferenceStep, log_probs
from groundup.model import plain_attention
from groundup.optim.balance import ExpertBalance

SHAPE = {"vocab_size": 61, "context_length": 16, "emb_dim": 24, "n_heads": 2, "n_layers": 2}
KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "tied": {"tie_embeddings": True},
    "llama": {"tie_embeddings": False, "position": "rope", "norm": "rmsnorm", "n_kv_heads": 1},
    "a cap": {"logit_softcap": 3.0},
}


def model(dtype: torch.dtype = torch.float64, **kind: Any) -> GPT:
    """Return a GPT with no parameter as it was initialised."""
    torch.manual_seed(1)
    gpt = GPT(GPTConfig(**{**SHAPE, **kind}), plain_attention).to(dtype)
    with torch.no_grad():
        for parameter in gpt.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return gpt.eval()


def batch(n: int = 5) -> dict[str, Tensor]:
    """Return pairs of different lengths, of which each reply has at least one target."""
    chance = torch.Generator().manual_seed(2)
    tokens = torch.randint(61, (n, 2, 14), generator=chance)
    targets = torch.randint(61, (n, 2, 14), generator=chance)
    lengths = torch.randint(5, 15, (n, 2), generator=chance)
    begins = torch.randint(0, 4, (n, 2), generator=chance)
    places = torch.arange(14)
    counts = (places >= begins[..., None]) & (places < lengths[..., None])
    targets = targets.where(counts, IGNORED)
    reference = -20 * torch.rand(n, 2, generator=chance, dtype=torch.float64)
    return {"tokens": tokens, "targets": targets, "lengths": lengths, "reference": reference}


def some(arrays: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    return {name: array[rows] for name, array in arrays.items()}


def plain_log_probs(gpt: GPT, tokens: Tensor, targets: Tensor) -> Tensor:
    """Return the same as `log_probs` by all logits."""
    of_all = gpt(tokens).log_softmax(-1)
    of_targets = of_all.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return torch.where(targets != IGNORED, of_targets, 0).sum(-1)


def gradients(gpt: GPT, value: Tensor) -> dict[str, Tensor]:
    gpt.zero_grad()
    value.backward()
    return {name: p.grad.clone() for name, p in gpt.named_parameters() if p.grad is not None}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], most: float) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() <= most * largest, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk_values", [0, 61, 200])
def test_log_probs_are_those_of_all_logits(kind: str, chunk_values: int) -> None:
    gpt, arrays = model(**KINDS[kind]), batch()
    tokens, targets = (arrays[name].flatten(0, 1) for name in ("tokens", "targets"))
    weights = torch.linspace(-1, 2, len(tokens), dtype=torch.float64)
    found = log_probs(gpt, tokens, targets, chunk_values=chunk_values)
    expected = plain_log_probs(gpt, tokens, targets)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert_same(
        gradients(gpt, (found * weights).sum()), gradients(gpt, (expected * weights).sum()), 1e-12
    )


def dpo(found: Tensor, arrays: dict[str, Tensor]) -> Tensor:
    """Return log(1 + exp(-0.3 margin)), summed."""
    (pi_c, pi_r), (ref_c, ref_r) = found.T, arrays["reference"].T
    return (1 + torch.exp(-0.3 * ((pi_c - pi_r) - (ref_c - ref_r)))).log().sum()


def orpo(found: Tensor, arrays: dict[str, Tensor]) -> Tensor:
    """Return -log P_c - 0.3 log sigmoid(log(odds_c / odds_r)), summed."""
    likely = (found / (arrays["targets"] != IGNORED).sum(-1)).exp()
    odds = likely / (1 - likely)
    return (-likely[:, 0].log() - 0.3 * (odds[:, 0] / (odds[:, 0] + odds[:, 1])).log()).sum()


@pytest.mark.parametrize(("step", "formula"), [(DPOStep, dpo), (ORPOStep, orpo)])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradient_are_the_formula_s(step: Any, formula: Any, kind: str) -> None:
    gpt, arrays = model(**KINDS[kind]), batch()
    loss, n = step(gpt, 0.3)(**arrays)
    rows = arrays["tokens"].flatten(0, 1), arrays["targets"].flatten(0, 1)
    expected = formula(plain_log_probs(gpt, *rows).view(-1, 2), arrays)
    assert n == 5
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert_same(gradients(gpt, loss), gradients(gpt, expected), 1e-12)


@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("step", [DPOStep, ORPOStep])
def test_the_gradient_is_the_same_however_a_batch_is_split(
    step: type[PreferenceStep], dtype: torch.dtype, most: float
) -> None:
    gpt, arrays = model(dtype, tie_embeddings=True), batch()

    def of_parts(parts: list[list[int]]) -> dict[str, Tensor]:
        gpt.zero_grad()
        n_in_all = 0
        for part in parts:
            loss, n = step(gpt)(**some(arrays, part))
            loss.backward()
            n_in_all += int(n)
        named = gpt.named_parameters()
        return {name: p.grad / n_in_all for name, p in named if p.grad is not None}

    whole = of_parts([[0, 1, 2, 3, 4]])
    for parts in ([[0], [1], [2], [3], [4]], [[4, 0], [3, 1, 2]], [[2], [3, 0, 1, 4]]):
        assert_same(of_parts(parts), whole, most)


@pytest.mark.parametrize("step", [DPOStep, ORPOStep])
@pytest.mark.parametrize("masked", [[0, 1], [0], [1]])
def test_a_pair_with_a_masked_reply_adds_exactly_nothing(
    step: type[PreferenceStep], masked: list[int]
) -> None:
    gpt, arrays = model(tie_embeddings=True), batch()
    arrays["targets"][3, masked] = IGNORED
    loss, n = step(gpt)(**some(arrays, [3]))
    assert loss == 0
    assert n == 0
    found = gradients(gpt, loss)
    assert found.keys() == dict(gpt.named_parameters()).keys()
    assert not any(gradient.any() for gradient in found.values())
    loss, n = step(gpt)(**arrays)
    without, fewer = step(gpt)(**some(arrays, [0, 1, 2, 4]))
    assert n == fewer == 4
    torch.testing.assert_close(loss, without, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_begins_at_log_2(dtype: torch.dtype) -> None:
    gpt, arrays = model(dtype), batch(16)
    rows = arrays["tokens"].flatten(0, 1), arrays["targets"].flatten(0, 1)
    with torch.no_grad():  # each dialogue alone, without padding that the batch has
        alone = [log_probs(gpt, t[None, :n], u[None, :n]) for t, u, n in
                 zip(*rows, arrays["lengths"].flatten().tolist(), strict=True)]  # fmt: skip
    loss, n = DPOStep(gpt)(**arrays | {"reference": torch.cat(alone).view(-1, 2)})
    assert abs(loss.item() / int(n) - math.log(2)) < 1e-6


def test_only_counted_places_meet_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    gpt, arrays = model(), batch()
    seen: list[tuple[int, ...]] = []

    def losses(hidden: Tensor, *rest: object) -> Tensor:
        seen.append(tuple(hidden.shape))
        return hidden.sum(dim=1)

    monkeypatch.setattr("groundup.finetune.preferences.step.token_losses", losses)
    DPOStep(gpt)(**arrays)
    assert seen == [(int((arrays["targets"] != IGNORED).sum()), 24)]


def test_experts_are_kept_busy_by_what_is_read_and_not_by_padding() -> None:
    experts: dict[str, Any] = {"n_experts": 4, "n_active_experts": 2, "feed_forward": "swiglu"}
    gpt, arrays = model(**experts).train(), batch()
    plain, count = DPOStep(gpt)(**arrays)
    balance = ExpertBalance(gpt)
    scores: list[list[Tensor]] = [[] for _ in gpt.blocks]
    for tokens, n in zip(arrays["tokens"].flatten(0, 1), arrays["lengths"].flatten(), strict=True):
        gpt(tokens[None, :n])
        for of_block, found in zip(scores, balance.scores, strict=True):
            of_block.append(found)
        balance.scores.clear()
    balance.scores = [torch.cat(of_block) for of_block in scores]
    expected = plain + 0.5 * balance.take() * count
    torch.testing.assert_close(DPOStep(gpt, balance_loss=0.5)(**arrays)[0], expected)


def test_a_step_against_the_gradient_widens_the_margin() -> None:
    gpt, arrays = model(), batch()
    rows = arrays["tokens"].flatten(0, 1), arrays["targets"].flatten(0, 1)

    def margins() -> Tensor:
        with torch.no_grad():
            chosen, rejected = log_probs(gpt, *rows).view(-1, 2).T
        return chosen - rejected

    before = margins()
    arrays["reference"] = log_probs(gpt, *rows).view(-1, 2).detach()
    optimizer = torch.optim.SGD(gpt.parameters(), 1e-2)
    DPOStep(gpt)(**arrays)[0].backward()
    optimizer.step()
    assert F.relu(before - margins()).sum() < (margins() - before).sum()
