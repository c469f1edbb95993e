"""Packed dialogues are as if each were alone, whatever stands beside them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from groundup import GPT, GPTConfig
from groundup.data.batch import IGNORED
from groundup.finetune.assistant.packing import (
    PackedDialogues,
    PackedRows,
    attention_within,
    packed,
    shared_beginning,
)
from groundup.generate.replies import DialogueIds
from groundup.model.attention import NO_CACHE

SHAPE: dict[str, Any] = {
    "vocab_size": 40, "context_length": 32, "emb_dim": 24, "n_heads": 2, "n_layers": 2,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "learned positions": {"position": "learned"},
    "rope": {"position": "rope", "norm": "rmsnorm", "n_kv_heads": 1},
    "a window": {"position": "rope", "window": 3},
    "experts": {"position": "rope", "n_experts": 5, "n_active_experts": 2},
    "bounded scores": {"position": "learned", "attention_softcap": 5.0},
}


def dialogues(lengths: list[int], seed: int = 1) -> list[DialogueIds]:
    """Return dialogues of so many ids, some of which count."""
    random = np.random.default_rng(seed)
    return [
        DialogueIds(random.integers(1, 40, n).astype(np.uint32), random.random(n) < 0.6, 0)
        for n in lengths
    ]


def beginning_alike(lengths: list[int], n: int) -> list[DialogueIds]:
    """Return dialogues of which the first `n` ids are the same, and a text of which all counts."""
    made = []
    for one in dialogues(lengths):
        ids, counts = one.ids.copy(), one.counts.copy()
        ids[:n], counts[: n + 1], counts[-1] = np.arange(1, n + 1), False, True
        made.append(DialogueIds(ids, counts, 0))
    text = dialogues([20])[0].ids
    return [*made, DialogueIds(text, np.ones(len(text), np.bool_), 0)]


def model(**kind: Any) -> GPT:
    """Return a GPT with no parameter as it was initialised."""
    torch.manual_seed(1)
    gpt = GPT(GPTConfig(**{**SHAPE, **kind})).double().eval()
    with torch.no_grad():
        for parameter in gpt.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return gpt


def loss_of(gpt: GPT, source: PackedRows, first: int, n: int) -> torch.Tensor:
    """Return the summed loss of rows that are read together."""
    arrays = {name: torch.from_numpy(a) for name, a in source.rows(first, n).arrays.items()}
    logits = gpt(arrays["tokens"], attention_within(arrays["positions"]))
    return F.cross_entropy(
        logits.flatten(0, 1), arrays["targets"].flatten(), ignore_index=IGNORED, reduction="sum"
    )


@pytest.mark.parametrize("n_shared", [0, 1, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_is_as_alone_gradients_too(kind: str, n_shared: int) -> None:
    gpt, some = model(**KINDS[kind]), dialogues([9, 17, 4, 3, 12, 25, 2, 8])
    if n_shared:
        some = beginning_alike([9, 17, 7, 7, 12, 25, 8, 8], n_shared)
    gradients = []
    for source in (PackedRows(some, 30, 8, 1), *(PackedRows([one], 30, 1, 1) for one in some)):
        loss_of(gpt, source, 0, source.n_rows).backward()
        grads = ((p.grad, p) for p in gpt.parameters())  # an expert may rest
        gradients.append([torch.zeros_like(p) if g is None else g.clone() for g, p in grads])
        gpt.zero_grad()
    # The gradient of a shared token is summed before it goes through the router's fp32, not behind.
    precise = 1e-7 if n_shared and "n_experts" in KINDS[kind] else 1e-12
    together, *alone = gradients
    for found, *parts in zip(together, *alone, strict=True):
        expected = torch.stack(parts).sum(0)
        assert (found - expected).abs().max() < precise * max(1.0, float(expected.abs().max()))


def test_rows_are_full_and_hold_each_dialogue_once() -> None:
    lengths = np.random.default_rng(1).integers(1, 40, 500).tolist()
    rows = packed(lengths, 64)
    assert sorted(n for row in rows for n in row) == list(range(500))
    assert max(sum(lengths[n] for n in row) for row in rows) <= 64
    assert len(rows) <= 1.02 * sum(lengths) / 64
    assert packed([], 8) == []
    assert packed([8, 8], 8) == [[0], [1]]


def test_a_batch_has_every_dialogue_with_the_targets_that_count() -> None:
    some = dialogues([9, 17, 4, 3, 12, 25, 2, 8])
    source = PackedRows(some, 30, 2, 1)
    batch = source.rows(0, source.n_rows)
    assert batch.n_tokens == source.n_tokens == sum(len(one.ids) - 1 for one in some)
    assert (batch.arrays["targets"] != IGNORED).sum() == source.n_targets
    found = set()
    for tokens, positions in zip(batch.arrays["tokens"], batch.arrays["positions"], strict=True):
        begins = [*np.flatnonzero(positions == 0), len(tokens)]
        found |= {tuple(tokens[a:b]) for a, b in pairwise(begins)}
    expected = {tuple(one.ids[:-1]) for one in some}
    assert all(any(one == row[: len(one)] for row in found) for one in expected)


def test_what_all_begin_with_is_computed_once_a_row() -> None:
    some = beginning_alike([9, 17, 7, 7, 12, 25, 8, 8], 5)
    n, begins = shared_beginning(some)
    assert (n, begins.tolist()) == (5, [True] * 8 + [False])
    source = PackedRows(some, 30, 2, 1)
    kept = [pack for pack in source.packs if begins[pack[0]]]
    assert source.n_tokens == sum(one.n_read for one in some) - 5 * (8 - len(kept))
    assert int(source.filled.max()) <= 30
    batch = source.rows(0, source.n_rows)
    assert batch.n_tokens == source.n_tokens
    assert (batch.arrays["targets"] != IGNORED).sum() == source.n_targets
    other = DialogueIds(some[0].ids + np.uint32(1), some[0].counts, 0)
    assert shared_beginning([*some, other])[0] == 0
    assert PackedRows([*some, other], 30, 2, 1).n_tokens == sum(r.n_read for r in [*some, other])


def test_dialogues_with_rows_of_their_own_need_no_mask() -> None:
    alone = torch.arange(5).expand(2, 5)
    assert attention_within(alone) is NO_CACHE
    assert isinstance(attention_within(alone % 3), PackedDialogues)
