"""An assistant's step: only what counts, and the same gradient however a batch is split."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from groundup import GPT, GPTConfig
from groundup.data.batch import IGNORED
from groundup.finetune.assistant.packing import PackedRows, attention_within
from groundup.finetune.replies.step import InstructStep
from groundup.optim.step import plain_loss
from tests.finetune.test_packing import SHAPE, dialogues

Arrays = dict[str, Tensor]


def made(tied: bool, loss: str = "fused") -> InstructStep:
    """Return a step of a model in double precision, whose fused loss has several chunks."""
    torch.manual_seed(1)
    gpt = GPT(GPTConfig(**SHAPE, tie_embeddings=tied)).double()
    return InstructStep(gpt, loss=loss, loss_chunk=200)


def arrays(first: int = 0, n: int = 6) -> Arrays:
    """Return rows of packed dialogues."""
    source = PackedRows(dialogues([9, 17, 4, 3, 12, 25, 2, 8, 20, 21, 22, 23]), 30, 1, 1)
    return {name: torch.from_numpy(a) for name, a in source.rows(first, n).arrays.items()}


def gradients(step: InstructStep, parts: list[Arrays]) -> dict[str, Tensor]:
    """Return the gradients of the mean over all parts, summed one by one."""
    step.zero_grad()
    counts = []
    for part in parts:
        loss_sum, n_targets = step(**part)
        loss_sum.backward()
        counts.append(int(n_targets))
    return {n: p.grad / sum(counts) for n, p in step.named_parameters() if p.grad is not None}


def differs(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert found.keys() == expected.keys()
    largest = max(float(g.abs().max()) for g in expected.values())
    return max(float((found[n] - expected[n]).abs().max()) for n in expected) / largest


@pytest.mark.parametrize(
    ("tied", "loss"), list(itertools.product([True, False], ["fused", "plain"]))
)
def test_the_gradient_does_not_depend_on_how_a_batch_is_split(tied: bool, loss: str) -> None:
    step, whole = made(tied, loss), arrays()
    expected = gradients(step, [whole])
    for sizes in ([1] * 6, [2, 4], [3, 1, 2]):
        parts = [
            dict(zip(whole, part, strict=True))
            for part in zip(*(array.split(sizes) for array in whole.values()), strict=True)
        ]
        assert differs(gradients(step, parts), expected) < 1e-12


def test_it_is_the_loss_of_all_logits() -> None:
    step, batch = made(True), arrays()
    hidden = step.model.hidden_states(batch["tokens"], attention_within(batch["positions"]))
    weight = step.model.lm_head.weight
    expected = plain_loss(hidden.flatten(0, 1), weight, batch["targets"].flatten())
    loss_sum, n_targets = step(**batch)
    assert loss_sum.item() == pytest.approx(expected.item(), rel=1e-6)  # logits are summed in fp32
    assert n_targets == (batch["targets"] != IGNORED).sum()


@pytest.mark.parametrize("loss", ["fused", "plain"])
def test_a_part_in_which_nothing_counts_adds_exactly_nothing(loss: str) -> None:
    step, whole = made(True, loss), arrays()
    nothing = whole | {"targets": torch.full_like(whole["targets"], IGNORED)}
    loss_sum, n_targets = step(**nothing)
    assert (loss_sum.item(), int(n_targets)) == (0, 0)
    alone, beside = gradients(step, [whole]), gradients(step, [whole, nothing])
    assert all(torch.equal(alone[name], beside[name]) for name in alone)
