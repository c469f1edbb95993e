"""Pairs of replies to the same question as rows of tokens, and what a reference model says of them.

Of both dialogues of a pair, only the last reply counts, and what ends it: the question and earlier
replies are the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from groundup.base.errors import UsageError
from groundup.data.batch import IGNORED, Batch
from groundup.data.dialogue import Preference
from groundup.data.messages import ASSISTANT
from groundup.evaluate.loss import OnProgress, silent
from groundup.finetune.assistant.packed_loss import TOKENS_AT_ONCE
from groundup.finetune.order import Ids, Order
from groundup.finetune.preferences.step import log_probs
from groundup.generate.replies import DialogueIds, encode_dialogues
from groundup.generate.template import ChatTemplate
from groundup.model import GPT, evaluation_mode
from groundup.tokenizer import Tokenizer

Numbers = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Pair:
    """A question with the chosen reply, and with the rejected one."""

    chosen: DialogueIds
    rejected: DialogueIds

    @property
    def both(self) -> tuple[DialogueIds, DialogueIds]:
        """The chosen one, then the rejected one."""
        return self.chosen, self.rejected

    @property
    def lengths(self) -> tuple[int, int]:
        """Tokens that are read of each: all but the last."""
        return self.chosen.n_read, self.rejected.n_read

    @property
    def n_counted(self) -> tuple[int, int]:
        """Targets that count of each: the length of its reply, with what ends it."""
        return self.chosen.n_targets, self.rejected.n_targets


@dataclass(frozen=True)
class Pairs:
    """Pairs to learn from, and what was not kept of the preferences."""

    pairs: list[Pair]
    kept: list[int]
    """Which of the preferences they are."""
    n_cut: int
    """Dialogues, two a pair, of which the end was cut off."""
    n_lost: int
    """Tokens in those ends."""
    n_without_reply: int
    """Pairs that were left out, as all of a reply was cut off."""
    n_equal: int
    """Pairs that were left out, as both replies are the same in what is read."""

    @property
    def n_tokens(self) -> int:
        """Tokens that are read, of both dialogues of each pair."""
        return sum(sum(pair.lengths) for pair in self.pairs)

    @property
    def n_straddling(self) -> int:
        """Tokens that count and hold a part of what stands around a reply, too."""
        return sum(one.n_straddling for pair in self.pairs for one in pair.both)

    @property
    def longest(self) -> int:
        """Tokens that are read of the longest dialogue."""
        return max((max(pair.lengths) for pair in self.pairs), default=1)


def preference_pairs(
    preferences: Sequence[Preference],
    template: ChatTemplate,
    tokenizer: Tokenizer,
    max_length: int,
) -> Pairs:
    """Return preferences as pairs of ids, each of at most `max_length` + 1.

    So many are read, and the last one is only a target. Without preferences there is no pair.
    Raises `UsageError` where no pair is left, and what `encode_dialogues` raises.
    """
    dialogues = list(chain.from_iterable(_dialogues(one) for one in preferences))
    encoded = encode_dialogues(
        template, tokenizer, dialogues, lambda n: preferences[n // 2].where + _which(n)
    )
    pairs, kept = list[Pair](), list[int]()
    n_cut, n_lost, n_without_reply, n_equal = 0, 0, 0, 0
    for number in range(len(preferences)):
        whole = next(encoded), next(encoded)
        pair = Pair(*(_last_reply(one, max_length) for one in whole))
        losses = [len(one.ids) - max_length - 1 for one in whole]
        n_cut += sum(lost > 0 for lost in losses)
        n_lost += sum(max(0, lost) for lost in losses)
        if 0 in pair.n_counted:
            n_without_reply += 1
        elif np.array_equal(pair.chosen.ids, pair.rejected.ids):
            n_equal += 1
        else:
            pairs.append(pair)
            kept.append(number)
    if preferences and not pairs:
        raise UsageError(
            f"no pair to learn from: of {len(preferences)}, {n_without_reply} have a reply that is "
            f"cut off by max_length = {max_length}, and {n_equal} have two replies that are the "
            "same in what is read; give a greater max_length, or other records"
        )
    return Pairs(pairs, kept, n_cut, n_lost, n_without_reply, n_equal)


def _dialogues(preference: Preference) -> list[list[dict[str, str]]]:
    """Return both dialogues."""
    replies = preference.chosen, preference.rejected
    return [[*preference.messages, {"role": ASSISTANT, "content": reply}] for reply in replies]


def _which(number: int) -> str:
    return ", rejected" if number % 2 else ", chosen"


def _last_reply(dialogue: DialogueIds, max_length: int) -> DialogueIds:
    """Return the first `max_length` + 1 ids, of which no reply counts but the last one."""
    counted = np.flatnonzero(dialogue.counts)
    breaks = np.flatnonzero(np.diff(counted) > 1)
    begin = counted[breaks[-1] + 1] if len(breaks) else 0
    counts = dialogue.counts & (np.arange(len(dialogue.counts)) >= begin)
    kept = np.s_[: max_length + 1]
    return DialogueIds(dialogue.ids[kept], counts[kept], dialogue.n_straddling)


def pair_arrays(pairs: Sequence[Pair]) -> dict[str, Ids]:
    """Return pairs as `tokens` and `targets` (B, 2, T), padded at their ends, and `lengths` (B, 2).

    Targets that do not count are `IGNORED`.
    """
    lengths = np.array([pair.lengths for pair in pairs], np.int64).reshape(-1, 2)
    shape = (*lengths.shape, int(lengths.max(initial=1)))
    tokens, targets = np.zeros(shape, np.int64), np.full(shape, IGNORED, np.int64)
    for row, pair in enumerate(pairs):
        for which, one in enumerate(pair.both):
            place = np.s_[row, which, : one.n_read]
            tokens[place], targets[place] = one.ids[:-1], one.targets
    return {"tokens": tokens, "targets": targets, "lengths": lengths}


def reference_log_probs(
    gpt: GPT,
    pairs: Sequence[Pair],
    progress: OnProgress = silent,
    places: int = TOKENS_AT_ONCE,
) -> Numbers:
    """Return the summed log-probabilities (nats) of both replies of each pair (n, 2).

    At most so many `places`, padding included, go through the model together, at least one pair.

    Of the reference model before training; of another model, to compare it with the reference. In
    the precision that is in force, which should be that of training: float64 sums, but float32 on
    `mps`, which has no float64. The model is as it was before.
    """
    longest = np.array([max(pair.lengths) for pair in pairs], np.int64)
    order = np.argsort(-longest, kind="stable")  # the longest first: memory is asked for once
    found = np.empty((len(pairs), 2), np.float32 if gpt.device.type == "mps" else np.float64)
    done = 0
    with torch.no_grad(), evaluation_mode(gpt):
        while done < len(order):
            at_once = max(1, places // (2 * max(1, int(longest[order[done]]))))
            rows = order[done : done + at_once]
            arrays = pair_arrays([pairs[row] for row in rows])
            tokens, targets = (
                torch.from_numpy(arrays[name]).flatten(0, 1).to(gpt.device)
                for name in ("tokens", "targets")
            )
            found[rows] = log_probs(gpt, tokens, targets).view(-1, 2).cpu().numpy()
            done += len(rows)
            progress(done, len(order))
    return found


class PreferenceRows:
    """A source of pairs: a batch is what a `PreferenceStep` takes."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        reference: Numbers,
        batch_size: int,
        seed: int,
        accumulation: int = 1,
    ) -> None:
        self.pairs, self.reference = pairs, reference
        longest = np.array([max(pair.lengths) for pair in pairs], np.int64)
        self.order = Order(longest, batch_size, seed, accumulation)

    @property
    def n_rows(self) -> int:
        """Pairs in a pass."""
        return len(self.pairs)

    @property
    def n_tokens(self) -> int:
        """Tokens in a pass, of both dialogues of each pair."""
        return sum(sum(pair.lengths) for pair in self.pairs)

    @property
    def n_targets(self) -> int:
        """What is learnt from in a pass: the pairs."""
        return self.n_rows

    def rows(self, first: int, n: int) -> Batch:
        """Return rows `first` to `first + n - 1`, padded to the longest dialogue of them."""
        chosen = self.order.rows(first, n)
        arrays = pair_arrays([self.pairs[row] for row in chosen])
        n_tokens = int(arrays["lengths"].sum())
        return Batch({**arrays, "reference": self.reference[chosen]}, n_tokens)
