"""Pairs as rows: what counts, what is left out, and what the reference says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from groundup import ByteTokenizer
from groundup.base.errors import UsageError
from groundup.data.batch import IGNORED
from groundup.data.dialogue import Preference
from groundup.finetune.preferences.figures import preference_figures
from groundup.finetune.preferences.rows import (
    Pairs,
    PreferenceRows,
    preference_pairs,
    reference_log_probs,
)
from groundup.finetune.preferences.step import DPOStep
from groundup.generate import CHATML, CHATML_TOKENS, ChatTemplate
from groundup.tokenizer import with_special_tokens
from tests.finetune.test_preference_step import model, plain_log_probs

TOKENIZER = with_special_tokens(ByteTokenizer(), CHATML_TOKENS)
EARLIER = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"})


def preference(chosen: str, rejected: str, number: int = 1, earlier: bool = False) -> Preference:
    messages = ({"role": "user", "content": f"What is {number}?"},)
    return Preference(EARLIER * earlier + messages, chosen, rejected, f"a.jsonl, line {number}")


def made(n: int = 20) -> list[Preference]:
    chance = np.random.default_rng(1)
    replies = ["".join(chance.choice(list("abc "), chance.integers(1, 30))) for _ in range(2 * n)]
    return [
        preference(f"{a}y", f"{b}n", number, number % 3 == 0)
        for number, (a, b) in enumerate(zip(replies[::2], replies[1::2], strict=True))
    ]


def pairs_of(preferences: list[Preference], max_length: int = 200) -> Pairs:
    return preference_pairs(preferences, ChatTemplate(CHATML), TOKENIZER, max_length)


def test_the_last_reply_counts_with_what_ends_it() -> None:
    found = pairs_of([preference("Yes.", "No, never.", earlier=True)])
    (pair,) = found.pairs
    for one, reply in zip(pair.both, ("Yes.", "No, never."), strict=True):
        *said, end = one.ids[one.counts].tolist()
        assert TOKENIZER.decode(said) == reply
        assert end == TOKENIZER.added_tokens["<|im_end|>"]
    assert pair.n_counted == (5, 11)
    assert (found.n_cut, found.n_lost, found.n_without_reply, found.n_equal) == (0, 0, 0, 0)


def test_what_is_cut_or_left_out_is_counted() -> None:
    some = [preference("ab", "c" * 50), preference("d" * 9, "d" * 8)]
    (whole,) = pairs_of(some[:1]).pairs
    begin = int(np.flatnonzero(whole.chosen.counts)[0])
    found = pairs_of(some, begin + 6)
    assert found.kept == [0]
    assert (found.n_cut, found.n_without_reply, found.n_equal) == (3, 0, 1)
    assert [len(one.ids) for one in found.pairs[0].both] == [len(whole.chosen.ids), begin + 7]
    with pytest.raises(UsageError, match=f"of 2, 2 have .* max_length = {begin - 1}, and 0 have"):
        pairs_of(some, begin - 1)
    assert pairs_of([]).pairs == []


def test_a_refused_preference_is_named() -> None:
    template = ChatTemplate("{{ messages[0].content }}")
    with pytest.raises(UsageError, match="line 1, chosen"):
        preference_pairs([preference("a", "b")], template, TOKENIZER, 100)


def test_a_step_learns_from_the_same_pairs_however_it_is_divided() -> None:
    pairs = pairs_of(made()).pairs
    reference = np.arange(2.0 * len(pairs)).reshape(-1, 2)

    def steps(size: int) -> list[list[float]]:
        source = PreferenceRows(pairs, reference, size, 1, 8 // size)
        return [sorted(source.rows(8 * n, 8).arrays["reference"][:, 0]) for n in range(12)]

    assert steps(8) == steps(4) == steps(2) == steps(1)


def test_a_batch_has_both_dialogues_of_a_pair() -> None:
    pairs = pairs_of(made()).pairs
    reference = np.arange(2.0 * len(pairs)).reshape(-1, 2)
    source = PreferenceRows(pairs, reference, batch_size=4, seed=1)
    batch = source.rows(0, source.n_rows)
    assert batch.n_tokens == source.n_tokens == sum(sum(pair.lengths) for pair in pairs)
    assert source.n_targets == source.n_rows == len(pairs)
    seen = set()
    for tokens, targets, lengths, refs in zip(*batch.arrays.values(), strict=True):
        number = int(refs[0]) // 2
        seen.add(number)
        assert refs.tolist() == reference[number].tolist()
        for row, expected, n, one in zip(tokens, targets, lengths, pairs[number].both, strict=True):
            assert row[:n].tolist() == one.ids[:-1].tolist()
            assert not row[n:].any()
            counted = expected != IGNORED
            assert expected[counted].tolist() == one.ids[one.counts].tolist()
            assert counted[:n].tolist() == one.counts[1:].tolist()
            assert not counted[n:].any()
    assert seen == set(range(len(pairs)))
    widest = [source.rows(first, 4).arrays["tokens"].shape[2] for first in range(0, 20, 4)]
    assert widest[0] == max(max(pair.lengths) for pair in pairs)
    assert len(set(widest)) > 1


def test_the_reference_is_that_of_each_dialogue_alone() -> None:
    size: dict[str, Any] = {
        "vocab_size": TOKENIZER.vocab_size,
        "context_length": 200,
        "drop_rate": 0.5,
    }
    gpt, pairs, told = model(**size).train(), pairs_of(made()).pairs, list[tuple[int, int]]()
    found = reference_log_probs(gpt, pairs, lambda *done: told.append(done), places=500)
    assert gpt.training
    assert len(told) > 2
    assert told[-1] == (20, 20)
    gpt.eval()
    for row, pair in zip(found, pairs, strict=True):
        for value, one in zip(row, pair.both, strict=True):
            ids = torch.from_numpy(one.ids.astype(np.int64))
            targets = ids[1:].where(torch.from_numpy(one.counts[1:]), IGNORED)
            expected = plain_log_probs(gpt, ids[None, :-1], targets[None])
            assert abs(value - expected.item()) < 1e-12 * abs(value)


def test_source_and_step_begin_at_log_2_in_fp32() -> None:
    size: dict[str, Any] = {"vocab_size": TOKENIZER.vocab_size, "context_length": 200}
    gpt, pairs = model(torch.float32, **size), pairs_of(made()).pairs
    source = PreferenceRows(pairs, reference_log_probs(gpt, pairs), batch_size=4, seed=1)
    for first in range(0, 20, 4):
        arrays = source.rows(first, 4).arrays
        loss, n = DPOStep(gpt)(**{name: torch.from_numpy(a) for name, a in arrays.items()})
        assert abs(loss.item() / int(n) - np.log(2)) < 1e-6


def test_figures() -> None:
    drift = np.array([[1.0, -1.0], [-4.0, -2.0], [-1.0, -1.0]])
    n_counted = np.array([[9, 3], [2, 10], [4, 6]])
    losses = np.array([np.log(1 + np.exp(-1)), np.log(1 + np.exp(1)), np.log(2)])
    found = preference_figures(losses, 0.5 * drift, n_counted, drift)
    assert found.n_pairs == 3
    assert found.accuracy == 0.5  # one, none, a tie
    assert found.margin == 0
    assert found.tokens == 34
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-12)
    assert found.chosen_drift == found.rejected_drift == pytest.approx(-4 / 3)
    assert found.chosen_length == 5
    assert found.preferred_length == pytest.approx((9 + 10 + 5) / 3)
    assert found.length_drift == pytest.approx(3)
    assert found.figures()["val_chosen_drift"] == found.chosen_drift
    assert "val_chosen_drift" not in preference_figures(losses, 0.5 * drift, n_counted).figures()
