from __future__ import annotations

import pytest
import torch

from groundup import GPT, GPTConfig
from groundup.data import TokenSplit
from groundup.data.batches import Batches
from groundup.lab.measures.noise import noise_scale

N = 64


def model() -> GPT:
    torch.manual_seed(1)
    return GPT(GPTConfig(vocab_size=12, context_length=8, emb_dim=16, n_heads=2, n_layers=1))


def split() -> TokenSplit:
    ids = torch.randint(12, (5000,), generator=torch.Generator().manual_seed(2)) ** 2 // 12
    return TokenSplit.from_array(ids.numpy(), len(ids))


def by_hand(gpt: GPT, seed: int) -> float:
    """Return the variance of the sequences' gradients over the squared norm of the true one."""
    rows = []
    for tokens, targets in Batches(split(), 8, 1, seed, order="random").torch(N):
        gpt.zero_grad()
        log_p = gpt(tokens).log_softmax(-1)[0, range(8), targets[0]]
        (-log_p.mean()).backward()
        rows.append(torch.cat([p.grad.flatten() for p in gpt.parameters() if p.grad is not None]))
    gradients = torch.stack(rows).double()
    variance = float(gradients.var(dim=0).sum())
    return variance / (float(gradients.mean(dim=0).square().sum()) - variance / N)


def test_batches_of_one_give_the_variance_of_the_sequences() -> None:
    gpt = model()
    assert noise_scale(gpt, split(), 3, n_batches=N, few=1) == pytest.approx(by_hand(gpt, 3), 1e-4)


def test_larger_batches_give_about_the_same() -> None:
    gpt = model()
    ones = noise_scale(gpt, split(), 3, n_batches=256, few=1)
    assert noise_scale(gpt, split(), 3, n_batches=64, few=4) == pytest.approx(ones, rel=0.1)


def test_a_gradient_without_signal_is_all_noise() -> None:
    """A model at the optimum of what can be known: uniform over tokens drawn evenly."""
    gpt = model()
    with torch.no_grad():
        gpt.lm_head.weight.zero_()
    ids = torch.randint(12, (50_000,), generator=torch.Generator().manual_seed(2))
    even = TokenSplit.from_array(ids.numpy(), len(ids))
    assert noise_scale(gpt, even, 3, n_batches=32) > 100
