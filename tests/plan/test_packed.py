"""Rows of dialogues side by side: what autograd keeps of them, and what the sums make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from groundup.base.errors import UsageError
from groundup.config import GPTConfig, TrainConfig, preset
from groundup.finetune.assistant.packing import PackedDialogues
from groundup.model import GPT
from groundup.plan import (
    Packed,
    check_fits,
    make_plan,
    packed_memory,
    plan_rows,
    training_memory,
)
from groundup.plan.activations import activations
from groundup.plan.plan import remedies

SHAPES: list[dict[str, Any]] = [
    {"emb_dim": 24, "n_heads": 3, "n_layers": 3},
    {"emb_dim": 24, "n_heads": 4, "n_layers": 2, "position": "rope", "window": 9},
    {"emb_dim": 24, "n_heads": 2, "n_layers": 2, "attention_softcap": 5.0},
    {"emb_dim": 24, "n_heads": 2, "n_layers": 2, "attention_drop_rate": 0.1},
    {"emb_dim": 24, "n_heads": 3, "n_layers": 2, "n_experts": 7, "n_active_experts": 3},
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_activations_are_what_autograd_keeps(shape: dict[str, Any], precision: str) -> None:
    config = GPTConfig(**{"vocab_size": 97, "context_length": 40, **shape})
    train = TrainConfig(batch_size=3, precision=precision)
    assert kept(config, train) == activations(config, train, packed=True)


def kept(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes of all different storages that a forward pass keeps, parameters apart."""
    model = GPT(config).train()
    seen = {p.untyped_storage().data_ptr(): 0 for p in model.parameters()}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        seen.setdefault(storage.data_ptr(), storage.nbytes())
        alive.append(tensor)  # so that no address is used twice
        return tensor

    tokens = torch.zeros(train.batch_size, config.context_length, dtype=torch.long)
    positions = torch.arange(config.context_length).repeat(train.batch_size, 1) % 13
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=train.precision == "bf16"),
    ):
        model.hidden_states(tokens, cache := PackedDialogues(positions))
    allowed = cache.mask(None, config.context_length).allowed
    if train.precision == "bf16" or config.attention_softcap:  # by blocks: held by the call itself
        assert allowed is not None
        keep(allowed)
    return sum(seen.values())


def test_the_terms_are_those_of_any_training_with_masks_and_fewer_logits() -> None:
    config = preset("gpt2-124m", context_length=512, drop_rate=0.0)
    train = TrainConfig(batch_size=4, optimizer="adamw", loss="plain", allocator="release")
    windows, rows = (
        training_memory(config, train),
        packed_memory(config, train, Packed(counted=0.25)),
    )
    assert rows.moment == windows.moment == "end of the forward pass"
    masks = 4 * 12 * 4 * 512**2
    positions = 8 * 4 * 512
    assert rows.terms["activations"] - windows.terms["activations"] == masks + positions
    assert rows.terms["logits"] == windows.terms["logits"] // 4
    assert rows.terms["tokenizer"] == 1024 * config.vocab_size


def test_a_validation_may_take_more_than_a_step() -> None:
    config = preset("gpt2-124m", context_length=64, drop_rate=0.0, n_layers=1)
    train = TrainConfig(batch_size=1, method="lora")
    memory = packed_memory(config, train, Packed(counted=0.1))
    assert memory.moment == "validation"
    assert memory.total > packed_memory(config, replace(train, device="cuda"), Packed()).total


def test_what_needs_less_is_what_an_assistant_can_be_asked_for() -> None:
    config = preset("gpt2-124m", context_length=512, drop_rate=0.0)
    train = TrainConfig(batch_size=4, optimizer="adamw")
    plan = make_plan(config, train, packed=Packed(counted=0.5))
    fixes = [fix for fix, _ in remedies(plan)]
    assert fixes[:4] == [
        "checkpoint_activations=on",
        "batch_size=2 --set accumulation=2",
        "batch_size=1 --set accumulation=4",
        "method=lora",
    ]
    assert all(fix.startswith("max_length=") for fix in fixes[4:])
    assert all(size < plan.memory["total"] for _, size in remedies(plan))
    with pytest.raises(UsageError, match=r"what would fit: --set .*max_length=256"):
        check_fits(plan, available=plan.memory["total"] * 4 // 5)


def test_it_speaks_of_rows_and_gives_no_ratio_for_pretraining() -> None:
    config = preset("gpt2-124m", context_length=512)
    train = TrainConfig(batch_size=4, steps=3)
    rows = dict(plan_rows(make_plan(config, train, 4096, packed=Packed(), read="rows")))
    assert "heads, rows of 512, vocabulary" in rows["Model"]
    assert rows["Learns from"] == "6,144 tokens (3 steps of 2,048), 1.5 passes over the rows"
