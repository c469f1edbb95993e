"""Questions whose answers can be checked, as rows to learn from by replies of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groundup.base.errors import DataError
from groundup.data.batch import Batch
from groundup.data.batches import GOLDEN, mix
from groundup.data.dialogue import Dialogue
from groundup.data.tasks import is_right, named_kinds
from groundup.finetune.order import Ids, Order
from groundup.generate.questions import Reply, encode_questions
from groundup.generate.template import ChatTemplate
from groundup.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A question as tokens, up to where the reply begins, and what is the right one."""

    ids: tuple[int, ...]
    answer: str
    kind: str = ""
    """Of the tasks, where it is one of the named records."""


@dataclass(frozen=True)
class Prompts:
    """Questions to learn from, and what is known of the others."""

    rows: list[Prompt]
    left_out: tuple[str, ...] = ()
    """Where questions stand that leave no room for a reply."""
    n_too_long: int = 0
    """Questions that stay, whose answer takes more tokens than a reply may have."""

    @property
    def lengths(self) -> Ids:
        """Tokens of each question."""
        return np.array([len(row.ids) for row in self.rows], np.int64)


def exact(prompt: Prompt, reply: Reply) -> float:
    """Return the reward: 1 for the answer, as `is_right` says, that ended by itself, else 0."""
    return float(reply.ended and is_right(prompt.answer, reply.text, prompt.kind))


def of_kinds(dialogues: Sequence[Dialogue], kinds: Sequence[str]) -> list[tuple[Dialogue, str]]:
    """Return dialogues, each with the kind of task that its last question is, or "".

    Of some `kinds` only, where any are named.
    """
    known = named_kinds()
    found = [(one, known.get(one.messages[-2]["content"], "")) for one in dialogues]
    return [pair for pair in found if pair[1] in kinds] if kinds else found


def prompts_of(
    dialogues: Sequence[tuple[Dialogue, str]],
    template: ChatTemplate,
    tokenizer: Tokenizer,
    max_length: int,
    max_tokens: int,
) -> Prompts:
    """Return the last question of each dialogue, with its kind, as tokens.

    Those that with `max_tokens` more are longer than `max_length` are left out.
    """
    questions = [one.messages[:-1] for one, _ in dialogues]
    encoded = encode_questions(tokenizer, template, questions, name=lambda n: dialogues[n][0].where)
    rows, left_out, n_too_long = list[Prompt](), list[str](), 0
    for (dialogue, kind), ids in zip(dialogues, encoded, strict=True):
        if len(ids) + max_tokens > max_length:
            left_out.append(dialogue.where)
            continue
        answer = dialogue.messages[-1]["content"]
        n_too_long += len(tokenizer.encode(answer)) >= max_tokens  # one more ends it
        rows.append(Prompt(ids=tuple(ids), answer=answer, kind=kind))
    return Prompts(rows, tuple(left_out), n_too_long)


def check_learnable(prompts: Prompts, max_length: int, max_tokens: int) -> None:
    """Raise `DataError` where no question is left to learn from, or none that can be answered."""
    if not prompts.rows:
        raise DataError(
            f"no question of {len(prompts.left_out):,} leaves room for a reply of max_tokens = "
            f"{max_tokens} within max_length = {max_length}; give fewer, or a greater length"
        )
    if prompts.n_too_long == len(prompts.rows):
        raise DataError(
            f"all answers take more than max_tokens = {max_tokens}, with the token that ends them, "
            "so that no reply could be right; give more, or records with short answers"
        )


class PromptRows:
    """A source of questions: a batch is what a `RewardStep` takes."""

    def __init__(
        self, prompts: Prompts, group: int, batch_size: int, seed: int, accumulation: int = 1
    ) -> None:
        self.lengths, self.group = prompts.lengths, group
        self.order = Order(self.lengths, batch_size, seed, accumulation)
        self._seed = mix(np.array([seed % 2**64], np.uint64) ^ np.uint64(GOLDEN))

    @property
    def n_rows(self) -> int:
        """Questions in a pass."""
        return len(self.lengths)

    @property
    def n_tokens(self) -> int:
        """Tokens of questions in a pass, as often as replies begin with them.

        What is written is not known before, and is not among them.
        """
        return self.group * int(self.lengths.sum())

    @property
    def n_targets(self) -> int:
        """What is learnt from in a pass: the replies."""
        return self.group * self.n_rows

    def rows(self, first: int, n: int) -> Batch:
        """Return `numbers` (n,), which questions rows `first` to `first + n - 1` are, and `seeds`.

        From seed (n, group) each reply is drawn: they follow from the row's number, so that they
        are others in each pass, and the same however a batch is split.
        """
        chosen = self.order.rows(first, n)
        numbers = np.arange(first * self.group, (first + n) * self.group, dtype=np.uint64)
        seeds = mix(mix(numbers + np.uint64(GOLDEN)) ^ self._seed) >> np.uint64(1)
        arrays = {"numbers": chosen, "seeds": seeds.astype(np.int64).reshape(n, self.group)}
        return Batch(arrays, self.group * int(self.lengths[chosen].sum()))
