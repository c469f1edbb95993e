"""Steps, and parts of steps, in which no target counts: nothing is learnt, and nothing is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from groundup.base.errors import DataError
from groundup.data import IGNORED
from groundup.model import GPT
from groundup.optim import step as steps_module
from groundup.optim.schedule import learning_rate
from groundup.processes.alone import ALONE
from groundup.processes.exact import Exact
from groundup.train import TrainStep
from tests.model.helpers import random_gpt
from tests.processes.masked import (
    CONFIG,
    N_ROWS,
    PER_STEP,
    MaskedRows,
    fit,
    masked_trainer,
    partly_frozen,
)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("exact", ["off", "on"])
def test_a_step_without_a_counted_target_changes_nothing(optimizer: str, exact: str) -> None:
    world = Exact() if exact == "on" else ALONE
    trainer, told = masked_trainer({0, 2, 3}, world, optimizer=optimizer, exact=exact)
    progress = fit(trainer)
    assert progress.step == 6
    assert told.weights[1] != told.weights[0]
    assert told.weights[1] == told.weights[2] == told.weights[3] != told.weights[4]
    assert told.memory[1] == told.memory[2] == told.memory[3] != told.memory[4]
    lines = [json.loads(json.dumps(line, allow_nan=False)) for line in told.records[:6]]
    assert [line.get("uncounted_steps") for line in lines] == [1, None, 1, 1, None, None]
    assert ["train_loss" in line for line in lines] == [False, True, False, False, True, True]
    assert [line["grad_norm"] == 0 for line in lines] == [True, False, True, True, False, False]
    assert [line["lr"] for line in lines] == [learning_rate(i, trainer.config) for i in range(6)]
    assert not [line for line in told.records if "reason" in line], "no divergence"
    assert progress.skipped == 0
    assert len(progress.recent) == 3


def test_tokens_are_those_that_the_batches_hold() -> None:
    trainer, told = masked_trainer({1})
    progress = fit(trainer)
    held = [5 + i % 8 for i in range(6 * PER_STEP)]
    assert progress.tokens == sum(held)
    assert told.records[0]["tokens"] == sum(held[:PER_STEP])
    whole = trainer.learner.batch(0)
    assert whole.keys() == {"tokens", "targets", "weights"}
    assert len(whole["weights"]) == PER_STEP


def test_what_does_not_learn_stays_and_has_no_memory() -> None:
    before = dict(partly_frozen().named_parameters())
    trainer, told = masked_trainer({1})
    fit(trainer)
    moved = {name for name, p in before.items() if not torch.equal(p, told.last[name])}
    learning = {name for name, p in before.items() if p.requires_grad}
    assert moved == learning
    assert {name.partition(":")[0] for name in trainer.learner.memory()} == learning
    copied, same = masked_trainer({1}, copy_dtype=torch.float32)
    fit(copied)
    assert (same.weights, same.memory) == (told.weights, told.memory), "a copy of them learns alike"


def test_data_in_which_nothing_counts_is_refused_at_once_where_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MaskedRows, "n_targets", 0)
    with pytest.raises(DataError, match="no target of the training data counts"):
        masked_trainer(set(range(99)))


def test_else_it_is_refused_after_a_whole_pass() -> None:
    trainer, _ = masked_trainer(set(range(99)), steps=50)
    with pytest.raises(DataError, match=f"in {N_ROWS} rows, a whole pass"):
        fit(trainer)
    assert trainer.progress.step == N_ROWS // PER_STEP - 1
    late, _ = masked_trainer(set(range(1, 99)), steps=12)
    assert fit(late).step == 12, "something counted once"


def test_or_at_the_end_of_a_run_that_is_shorter() -> None:
    trainer, _ = masked_trainer(set(range(99)), steps=3)
    with pytest.raises(DataError, match=f"in {3 * PER_STEP} rows, the whole run"):
        fit(trainer)


CASES: list[dict[str, Any]] = [
    {"loss": "plain"},
    {"loss": "fused", "loss_chunk": 300},
    {"loss": "fused", "copy_dtype": torch.bfloat16},
    {"loss": "fused", "balance_loss": 0.5},
]


@pytest.mark.parametrize("options", CASES)
def test_a_micro_batch_without_one_adds_exactly_zero(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps_module, "FEW_LOGITS", 0)
    mixture = {"n_experts": 3, "n_active_experts": 2} if "balance_loss" in options else {}
    shape = CONFIG.replace(tie_embeddings=True, **mixture)
    tokens = torch.arange(24).reshape(2, 12)
    silent = torch.full_like(tokens, IGNORED)
    found = []
    first: GPT = random_gpt(**vars(shape))
    for targets in ([tokens + 1], [tokens + 1, silent], [silent, tokens + 1]):
        model = random_gpt(**vars(shape)).train()
        model.load_state_dict(first.state_dict())
        step = TrainStep(model, **options)
        step.refresh()
        total = torch.zeros(())
        for some in targets:
            loss_sum, count = step(tokens=tokens, targets=some)
            loss_sum.backward()
            step.collect()
            total += loss_sum.detach()
            assert (count == 0) == (loss_sum == 0) == bool((some == IGNORED).all())
        found.append([total, *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) == 1 + len([*first.parameters()])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
