"""Learning from rewards: gradients against all replies enumerated, and bandits' known optima."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from groundup import GPT, CharTokenizer, GPTConfig
from groundup.finetune.rewards.rows import Prompt, PromptRows, Prompts, exact
from groundup.finetune.rewards.step import RewardStep, leave_one_out
from groundup.generate import Reply

TOKENIZER = CharTokenizer.train(["abc"])
END = 2
QUESTION = Prompt(ids=(0, 1, 1), answer="a")
QUESTIONS = [QUESTION, Prompt(ids=(1,), answer="b"), Prompt(ids=(0, 0, 1, 0, 1), answer="a")]
REPLIES = [(END,)] + [
    (first, second) for first, second in itertools.product(range(3), repeat=2) if first != END
]
"""All there are of at most two tokens."""
KINDS: dict[str, dict[str, Any]] = {
    "tied": {"tie_embeddings": True},
    "untied": {"tie_embeddings": False, "position": "rope", "norm": "rmsnorm"},
    "a cap": {"logit_softcap": 2.0},
    "a padded vocabulary": {"vocab_size": 5, "tie_embeddings": True},
}


def model(seed: int = 1, dtype: torch.dtype = torch.float64, **kind: Any) -> GPT:
    """Return a GPT with no parameter as it was initialised."""
    torch.manual_seed(seed)
    shape = {"vocab_size": 3, "context_length": 8, "emb_dim": 16, "n_heads": 2, "n_layers": 1}
    gpt = GPT(GPTConfig(**{**shape, **kind})).to(dtype)
    with torch.no_grad():
        for parameter in gpt.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return gpt


def made(gpt: GPT, **how: Any) -> RewardStep:
    return RewardStep(gpt, TOKENIZER, QUESTIONS, **{"ends": (END,), "max_tokens": 2, **how})


def some_reward(prompt: Prompt, reply: Reply) -> float:
    return hash((prompt.ids, reply.ids)) % 7 / 7  # of numbers: the same in every process


def log_prob(gpt: GPT, reply: Sequence[int], temperature: float = 1.0) -> Tensor:
    """Return that of a reply to `QUESTION`, among the tokens that there are, by all logits."""
    ids = [*QUESTION.ids, *reply]
    logits = gpt(torch.tensor([ids[:-1]]))[0, :, : TOKENIZER.vocab_size]
    of_all = (logits / temperature).log_softmax(-1)[len(QUESTION.ids) - 1 :]
    return of_all.gather(-1, torch.tensor(reply)[:, None]).sum()


def gradients(gpt: GPT, value: Tensor) -> dict[str, Tensor]:
    gpt.zero_grad()
    value.backward()
    return {name: p.grad.clone() for name, p in gpt.named_parameters() if p.grad is not None}


def differs(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    return max(float((found[n] - expected[n]).abs().max()) for n in expected) / largest


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("kl", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_gradient_is_that_of_the_expected_reward(
    kind: str, kl: float, temperature: float
) -> None:
    gpt, reference = model(**KINDS[kind]), model(2, **KINDS[kind]) if kl else None
    step = made(gpt, kl=kl, reference=reference, temperature=temperature)
    rewards = torch.tensor([0.0, 1.0, 0.3, 0.0, 0.7, 1.0, 0.2], dtype=torch.float64)
    likely = torch.stack([log_prob(gpt, reply, temperature) for reply in REPLIES])
    assert float(likely.detach().exp().sum()) == pytest.approx(1)
    objective = 1 - (likely.exp() * rewards).sum()
    if reference is not None:
        known = torch.stack([log_prob(reference, reply, temperature) for reply in REPLIES])
        objective = objective + kl * (likely.exp() * (likely - known.detach())).sum()
    mean = torch.zeros((), dtype=torch.float64)
    for one, other in itertools.product(range(len(REPLIES)), repeat=2):
        loss, n = step.loss_of(
            [QUESTION], [[REPLIES[one], REPLIES[other]]], rewards[[one, other]][None]
        )
        assert n == 2
        mean = mean + (likely[one] + likely[other]).detach().exp() * loss / n
    assert mean.item() == pytest.approx(objective.item(), rel=1e-12)
    expected = gradients(gpt, objective)
    assert differs(gradients(gpt, mean), expected) < 1e-10


def test_replies_are_drawn_as_likely_as_they_are() -> None:
    gpt = model(vocab_size=5)
    rows = PromptRows(Prompts([QUESTION]), 8, batch_size=500, seed=3).rows(0, 500)
    seeds = torch.from_numpy(rows.arrays["seeds"])
    drawn = made(gpt, temperature=0.7).write([QUESTION] * 500, seeds)
    found = [reply.ids for group in drawn for reply in group]
    assert set(found) <= set(REPLIES)
    for reply in REPLIES:
        share = found.count(reply) / len(found)
        expected = float(log_prob(gpt, reply, 0.7).exp())
        assert abs(share - expected) < 4 * (expected * (1 - expected) / len(found)) ** 0.5
    assert all(one.ended == (one.ids[-1] == END) for group in drawn for one in group)


ARMS = torch.tensor([0.2, 1.0, 0.5], dtype=torch.float64)


def pulled(prompt: Prompt, reply: Reply) -> float:
    return float(ARMS[reply.ids[0]])


def learn(step: RewardStep, n_steps: int, group: int) -> Tensor:
    """Return what the first token is by then, as probabilities."""
    optimizer = torch.optim.Adam(step.model.parameters(), 0.02)
    source = PromptRows(Prompts([QUESTION]), group, batch_size=1, seed=1)
    for number in range(n_steps):
        arrays = source.rows(number, 1).arrays
        loss, n = step(**{name: torch.from_numpy(array) for name, array in arrays.items()})
        optimizer.zero_grad()
        (loss / n).backward()
        optimizer.step()
    with torch.no_grad():
        return step.model(torch.tensor([QUESTION.ids]))[0, -1].softmax(-1)


def test_a_bandit_comes_to_pull_the_best_arm() -> None:
    step = made(model(), ends=(), max_tokens=1, reward=pulled)
    assert float(learn(step, 150, group=16)[1]) > 0.99


def test_a_bandit_with_a_price_comes_to_its_known_optimum() -> None:
    gpt, reference = model(), model()
    with torch.no_grad():
        known = reference(torch.tensor([QUESTION.ids]))[0, -1].softmax(-1)
    step = made(gpt, ends=(), max_tokens=1, reward=pulled, kl=0.4, reference=reference)
    found = learn(step, 200, group=64)
    best = known * (ARMS / 0.4).exp()
    # At the optimum no draw has an advantage, so that there is no noise to stay away by.
    torch.testing.assert_close(found, best / best.sum(), atol=1e-3, rtol=0)
    assert float((found - known).abs().max()) > 0.1


def test_an_advantage_is_what_a_reward_is_above_the_mean_of_the_others() -> None:
    rewards = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 0.0]], dtype=torch.float64)
    expected = [[-0.75, 0.75, 0.0], [0.5, 0.5, -1.0]]
    torch.testing.assert_close(
        leave_one_out(rewards), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )
    alike = torch.full((4, 7), 0.1, dtype=torch.float64) * torch.arange(4)[:, None]
    assert not leave_one_out(alike).any()


@pytest.mark.parametrize("reward", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("tied", [True, False])
def test_a_group_of_equal_rewards_adds_exactly_nothing(reward: float, tied: bool) -> None:
    gpt = model(tie_embeddings=tied)
    step = made(gpt, reward=lambda prompt, reply: reward)
    seeds = torch.arange(10).view(2, 5)
    loss, n = step(torch.tensor([0, 2]), seeds)
    assert n == 10
    assert loss.item() == pytest.approx(10 * (1 - reward))
    found = gradients(gpt, loss)
    assert found.keys() == dict(gpt.named_parameters()).keys()
    assert not any(gradient.any() for gradient in found.values())


@pytest.mark.parametrize("kl", [0.0, 0.2])
@pytest.mark.parametrize("tied", [True, False])
def test_the_gradient_is_the_same_however_a_batch_is_split(tied: bool, kl: float) -> None:
    gpt = model(tie_embeddings=tied)
    reference = model(2, tie_embeddings=tied) if kl else None
    step = made(gpt, reward=some_reward, kl=kl, reference=reference)
    arrays = PromptRows(Prompts(QUESTIONS), 4, batch_size=6, seed=1).rows(3, 6).arrays
    numbers, seeds = (torch.from_numpy(arrays[name]) for name in ("numbers", "seeds"))

    def of_parts(parts: list[list[int]]) -> tuple[float, dict[str, Tensor]]:
        gpt.zero_grad()
        sums, n_in_all = 0.0, 0
        for part in parts:
            loss, n = step(numbers[part], seeds[part])
            loss.backward()
            sums, n_in_all = sums + loss.item(), n_in_all + int(n)
        named = gpt.named_parameters()
        return sums / n_in_all, {n: p.grad / n_in_all for n, p in named if p.grad is not None}

    mean, whole = of_parts([list(range(6))])
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-3
    for parts in ([[n] for n in range(6)], [[4, 0], [3, 1, 2], [5]]):
        again, found = of_parts(parts)
        assert again == pytest.approx(mean, rel=1e-12)
        assert differs(found, whole) < 1e-12


def test_nothing_is_dropped_and_the_model_is_left_as_it_was() -> None:
    gpt = model(drop_rate=0.5).train()
    step = made(gpt, reward=some_reward)
    seeds = torch.arange(8).view(2, 4)
    losses = [step(torch.tensor([0, 1]), seeds)[0] for _ in range(2)]
    one, other = (gradients(gpt, loss) for loss in losses)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(module.training for module in gpt.modules())
    assert not step.has_dropout


def test_autocast_does_not_lose_the_gradients_of_what_has_written() -> None:
    gpt = model(dtype=torch.float32)
    step = made(gpt, reward=some_reward)
    seeds = torch.arange(8).view(2, 4)
    asked = [QUESTIONS[0], QUESTIONS[1]]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = step(torch.tensor([0, 1]), seeds)
        found = gradients(gpt, loss)
        replies = step.write(asked, seeds)
    rewards = [[some_reward(p, r) for r in group] for p, group in zip(asked, replies, strict=True)]
    ids = [[reply.ids for reply in group] for group in replies]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        alone, _ = step.loss_of(asked, ids, torch.tensor(rewards, dtype=torch.float64))
    expected = gradients(gpt, alone)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(gradient.any() for name, gradient in found.items() if "weight" in name)


def test_a_reply_is_rewarded_where_it_is_right_and_has_ended() -> None:
    prompt = Prompt(ids=(0,), answer="Blue", kind="")
    assert exact(prompt, Reply("the answer is blue.", (1,), True)) == 1
    assert exact(prompt, Reply("blue", (1,), False)) == 0
    assert exact(prompt, Reply("red", (1,), True)) == 0
    capitals = Prompt(ids=(0,), answer="BLUE", kind="upper-case")
    assert exact(capitals, Reply("blue", (1,), True)) == 0
