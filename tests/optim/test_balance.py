"""The balance loss: its value, its gradient, and where it is added."""

from __future__ import annotations

import torch
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from groundup.model import GPT
from groundup.optim.balance import ExpertBalance
from groundup.train import TrainStep
from tests.model.helpers import random_gpt

MIXTURE = {
    "vocab_size": 31,
    "context_length": 16,
    "emb_dim": 12,
    "n_heads": 2,
    "n_layers": 1,
    "ffn_dim": 8,
    "n_experts": 5,
    "n_active_experts": 2,
}
TOKENS = torch.arange(24).reshape(2, 12)


def test_one_layer_scores_as_in_transformers() -> None:
    model: GPT = random_gpt(**MIXTURE)
    seen = []
    router = model.get_submodule("blocks.0.ffn.router")
    router.register_forward_hook(lambda m, i, scores: seen.append(scores))
    balance = ExpertBalance(model.train())
    model(TOKENS)
    expected = load_balancing_loss_func((seen[0],), num_experts=5, top_k=2)
    torch.testing.assert_close(balance.take(), expected)


def test_layers_are_averaged_and_forgotten_once_taken() -> None:
    model: GPT = random_gpt(**MIXTURE | {"n_layers": 3})
    balance = ExpertBalance(model.train())
    model(TOKENS)
    each = [balance._of_layer(scores) for scores in balance.scores]
    assert len(each) == 3
    torch.testing.assert_close(balance.take(), torch.stack(each).mean())
    assert balance.take() == 0.0


def test_it_counts_while_training_only_and_for_each_target() -> None:
    with_balance = TrainStep(random_gpt(**MIXTURE).train(), "plain", 0.5)
    without = TrainStep(random_gpt(**MIXTURE).train(), "plain", 0.0)
    alone = ExpertBalance(with_balance.model)
    loss_sum, count = with_balance(TOKENS, TOKENS + 1)
    torch.testing.assert_close(
        loss_sum, without(TOKENS, TOKENS + 1)[0] + 0.5 * alone.take() * count
    )
    with_balance.eval()
    without.eval()
    torch.testing.assert_close(with_balance(TOKENS, TOKENS + 1), without(TOKENS, TOKENS + 1))


def test_its_gradient_makes_a_one_sided_router_even() -> None:
    torch.manual_seed(1)
    model: GPT = random_gpt(**MIXTURE).train()
    router = model.get_submodule("blocks.0.ffn.router")
    balance = ExpertBalance(model)
    optimizer = torch.optim.SGD(router.parameters(), lr=0.3)
    losses = []
    for _ in range(200):
        model(TOKENS)
        loss = balance.take()
        assert isinstance(loss, torch.Tensor)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < min(losses[0], 2.2)  # 2, the number of active experts, is even


def test_a_dense_model_has_none() -> None:
    model: GPT = random_gpt(**{k: v for k, v in MIXTURE.items() if "experts" not in k}).train()
    balance = ExpertBalance(model)
    model(TOKENS)
    assert balance.take() == 0.0


def test_routers_are_left_as_they_were_when_the_step_is_gone() -> None:
    model: GPT = random_gpt(**MIXTURE).train()
    router = model.get_submodule("blocks.0.ffn.router")
    step = TrainStep(model, "plain", 0.5)
    step(TOKENS, TOKENS + 1)
    assert len(router._forward_hooks) == 1
    del step
    assert not router._forward_hooks, "it would hold the scores of every later pass"
