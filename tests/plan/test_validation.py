"""What is read at once to validate: as much as a batch, and no more than training takes."""

from __future__ import annotations

import pytest

import groundup.evaluate.loss as loss
from groundup.config import GPTConfig, TrainConfig, preset
from groundup.plan import training_memory, validation
from groundup.plan.validation import TOKENS_AT_ONCE, validation_memory, windows_at_once

SMALL = {"context_length": 64, "emb_dim": 64, "n_heads": 2, "vocab_size": 512}


def test_few_tokens_a_batch_are_joined_by_others() -> None:
    config = preset("nano", context_length=64)
    assert windows_at_once(config, TrainConfig(batch_size=4)) * 64 == TOKENS_AT_ONCE
    assert windows_at_once(config, TrainConfig(batch_size=40)) == 40


def test_a_gpu_is_given_more() -> None:
    train = TrainConfig(batch_size=4, device="cuda")
    assert windows_at_once(preset("nano", context_length=64), train) * 64 > TOKENS_AT_ONCE


@pytest.mark.parametrize("cap", [0.0, 30.0])
@pytest.mark.parametrize("n_layers", [1, 4])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_no_more_than_training_takes(cap: float, n_layers: int, batch_size: int) -> None:
    config = GPTConfig(attention_softcap=cap, n_layers=n_layers, **SMALL)  # type: ignore[arg-type]
    train = TrainConfig(batch_size=batch_size)
    terms = training_memory(config, train).terms
    room = sum(terms[name] for name in ("gradients", "optimizer", "activations", "logits"))
    windows = windows_at_once(config, train)
    assert windows == batch_size or validation_memory(config, windows) <= room


def test_the_chunks_are_those_of_the_validation() -> None:
    assert loss.LOGITS_AT_ONCE == validation.LOGITS_AT_ONCE
    assert loss.LEAST_ROWS == validation.LEAST_ROWS
