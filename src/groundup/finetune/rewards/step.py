"""What a model learns from replies of its own and a reward for each: GRPO, one update a batch.

It is to raise the expected reward less `kl` times the divergence from a reference,

    J = E[r(o)] - kl KL(pi || ref),  over replies o that pi gives to a question.

The gradient of J is that of E[A log pi(o)], where A is r - kl log(pi / ref) less what does not
depend on o: the mean over the other replies to the same question. It is unbiased; the groups are
those of GRPO (Shao et al., 2024, "DeepSeekMath"), and three things are otherwise than there:

- A reply counts as a whole, not divided by its length, and A is not divided by the standard
  deviation of its group. Either makes the gradient that of something else: long wrong replies cost
  less, and questions that are nearly always or nearly never answered count more (Liu et al., 2025,
  "Understanding R1-Zero-like training").
- The mean is of the others (Kool et al., 2019, "Buy 4 REINFORCE samples, get a baseline for free"):
  that of all makes r smaller by the group's n-th part, and not the divergence beside it.
- The divergence is a part of the reward. GRPO differentiates an estimate of it, Schulman's k3
  (2020, "Approximating KL divergence"), for the replies as they are; that leaves out that other
  replies come to be written, and is the gradient of KL(ref || pi) instead. The optimum of J is
  ref exp(r / kl) / Z, and there A is 0 for every reply. The loss that is told has k3 in it.

Each batch is written by the model as it is, so that the ratio of old and new probabilities is 1,
and nothing is there to be clipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.data.batch import IGNORED
from groundup.finetune.preferences.step import token_log_probs
from groundup.finetune.rewards.rows import Prompt, exact
from groundup.generate.questions import Reply, continue_prompts
from groundup.model import GPT, evaluation_mode
from groundup.optim.step import Step
from groundup.optim.tied import TiedGradient
from groundup.tokenizer import Tokenizer

Reward = Callable[[Prompt, Reply], float]


class RewardStep(Step[GPT]):
    """Learn from rewards: a batch is `numbers` (B,), which of `prompts`, and `seeds` (B, G).

    From each seed a reply is drawn, of at most `max_tokens`, which one of `ends` ends or the end of
    text. `reference` is the model from which the divergence is measured, with `kl` above 0 only; it
    does not learn. All is computed without dropout, as what learns must be what has written; and
    without a mixture's `ExpertBalance`. FSDP cannot shard it: processes write replies of different
    lengths.
    """

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        *,
        ends: Sequence[int] = (),
        max_tokens: int = 32,
        temperature: float = 1.0,
        kl: float = 0.0,
        reference: GPT | None = None,
        reward: Reward = exact,
        copy_dtype: torch.dtype | None = None,
        loss_chunk: int = 0,
    ) -> None:
        super().__init__(model, copy_dtype)
        assert (reference is not None) == (kl > 0), "they come together"
        self.tokenizer, self.prompts, self.ends = tokenizer, prompts, tuple(ends)
        self.max_tokens, self.temperature, self.kl = max_tokens, temperature, kl
        self.reference = None if reference is None else reference.requires_grad_(False).eval()
        self.reward, self.loss_chunk = reward, loss_chunk
        self.tied = TiedGradient(self.worker)
        self.tied.attach(self)

    @property
    def has_dropout(self) -> bool:
        """Never: whatever the model has is off."""
        return False

    def forward(
        self, numbers: Int[Tensor, " B"], seeds: Int[Tensor, "B G"]
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum, n_replies).

        A reply's loss is 1 - r and `kl` times its divergence (nats): its gradient is that of J, see
        above. Where the rewards of a group are equal and `kl` is 0, it is exactly zero.
        """
        asked = [self.prompts[number] for number in numbers.tolist()]
        with evaluation_mode(self.worker):
            replies = self.write(asked, seeds)
            pairs = list(zip(asked, replies, strict=True))
            given = [[self.reward(prompt, one) for one in group] for prompt, group in pairs]
            ids = [[one.ids for one in group] for group in replies]
            return self.loss_of(asked, ids, torch.tensor(given, dtype=torch.float64))

    def write(self, asked: Sequence[Prompt], seeds: Int[Tensor, "B G"]) -> list[list[Reply]]:
        """Return a group of replies to each question."""
        group = seeds.shape[1]
        replies = continue_prompts(
            self.worker,
            self.tokenizer,
            [prompt.ids for prompt in asked for _ in range(group)],
            max_tokens=self.max_tokens,
            ends=self.ends,
            temperature=self.temperature,
            seeds=seeds.flatten().tolist(),
            tuned=False,
        )
        # Autocast of older PyTorch gives the weights narrowed here, which have no gradient, to the
        # passes after it (2.13 does not).
        torch.clear_autocast_cache()
        return [replies[begin : begin + group] for begin in range(0, len(replies), group)]

    def loss_of(
        self,
        asked: Sequence[Prompt],
        replies: Sequence[Sequence[Sequence[int]]],
        rewards: Float[Tensor, "B G"],
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum, n_replies) of groups of replies, given as tokens with what ends them.

        Without a reference, replies of which nothing is learnt are not computed, but for one.
        """
        device, number = self.worker.device, self.worker.lm_head.weight.dtype
        wide = torch.float32 if device.type == "mps" else torch.float64
        rewards = rewards.to(device, wide)
        dialogues = [(p, ids) for p, group in zip(asked, replies, strict=True) for ids in group]
        divergence = rewards.new_zeros(())
        chosen = list(range(len(dialogues)))
        advantages = leave_one_out(rewards).flatten()
        if self.reference is None:
            chosen = advantages.nonzero().flatten().tolist() or [0]
        rows = reply_rows([dialogues[row] for row in chosen])
        tokens, targets = (part.to(device) for part in rows)
        found = token_log_probs(
            self.worker, tokens, targets, self._head, self.loss_chunk, self.temperature
        )
        if self.reference is not None:
            drift = found.detach() - self._reference_log_probs(tokens, targets)  # (N, T)
            divergence = (torch.expm1(-drift) + drift).sum()  # k3 of each token
            penalties = self.kl * drift.sum(dim=1).view_as(rewards)
            advantages = leave_one_out(rewards - penalties).flatten()
        learnt = -(advantages[chosen] * found.sum(dim=1)).sum()
        value = (1 - rewards).sum() + self.kl * divergence
        loss_sum = (learnt - learnt.detach() + value).to(torch.promote_types(number, torch.float32))
        return loss_sum, torch.tensor(rewards.numel(), device=device)

    def _head(self) -> Tensor:
        """Return the head's rows of tokens that are written: of a padded vocabulary not all."""
        weight, n_known = self.tied.head_weight(), self.tokenizer.vocab_size
        return weight[:n_known] if n_known < len(weight) else weight

    @torch.no_grad()
    def _reference_log_probs(
        self, tokens: Int[Tensor, "N T"], targets: Int[Tensor, "N T"]
    ) -> Float[Tensor, "N T"]:
        assert self.reference is not None
        weight = self.reference.lm_head.weight[: self.tokenizer.vocab_size]
        return token_log_probs(
            self.reference, tokens, targets, lambda: weight, self.loss_chunk, self.temperature
        )


def leave_one_out(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """Return by how much each reward is above the mean of the others of its group.

    Exactly 0 where all are equal.
    """
    apart = rewards - rewards[:, :1]
    n = rewards.shape[1]
    return (apart - apart.mean(dim=1, keepdim=True)) * (n / (n - 1))


def reply_rows(
    dialogues: Sequence[tuple[Prompt, Sequence[int]]],
) -> tuple[Int[Tensor, "N T"], Int[Tensor, "N T"]]:
    """Return the tokens of questions with a reply each, padded, and the targets: the reply's."""
    longest = max(len(prompt.ids) + len(reply) - 1 for prompt, reply in dialogues)
    tokens = np.zeros((len(dialogues), longest), np.int64)
    targets = np.full(tokens.shape, IGNORED, np.int64)
    for row, (prompt, reply) in enumerate(dialogues):
        begin, end = len(prompt.ids) - 1, len(prompt.ids) + len(reply) - 1
        tokens[row, :end] = [*prompt.ids, *reply][:-1]
        targets[row, begin:end] = reply
    return torch.from_numpy(tokens), torch.from_numpy(targets)
