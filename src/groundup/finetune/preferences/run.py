"""An assistant by request that learns preferences, kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from groundup.base.errors import RunError
from groundup.base.words import counted
from groundup.config import GPTConfig
from groundup.data.dialogue import Dialogue, Preference
from groundup.data.messages import ASSISTANT
from groundup.finetune.assistant.dialogue_rows import kept_by
from groundup.finetune.assistant.exam import choose_questions
from groundup.finetune.assistant.judge import EXAMPLES, TrainedOn
from groundup.finetune.assistant.packed_loss import TOKENS_AT_ONCE
from groundup.finetune.assistant.request import InstructRequest
from groundup.finetune.assistant.run import ChatRun
from groundup.finetune.preferences.job import PreferenceJob
from groundup.finetune.preferences.judge import PairExam, judge_pairs
from groundup.finetune.preferences.rows import Pairs
from groundup.model import GPT
from groundup.runs import RunFolder
from groundup.runs.assistant import DPO
from groundup.train.listener import Screen

DPO_SLOWER = 1 / 40
"""The part of the learning rate of learning replies that DPO takes.

Tunstall et al., 2023, "Zephyr: direct distillation of LM alignment": 2e-5 for replies, 5e-7 for
DPO. ORPO, which learns replies as well, takes all of it.
"""


class PreferenceRun(ChatRun, PreferenceJob):
    """A training by request: of the model of another run, on preferences on disk."""

    def __init__(self, request: InstructRequest, objective: str = DPO) -> None:
        super().__init__(request)
        self.objective = objective

    @property
    def rate_share(self) -> float:  # type: ignore[override]
        """Less than of what learns replies, where a reference is to be near: `DPO_SLOWER`."""
        return self.start.rate_share * (DPO_SLOWER if self.objective == DPO else 1)

    @property
    def base_config(self) -> GPTConfig:
        """The model that it is made from, without dropout.

        That would be noise in the difference of two log-probabilities, and a reference has none.
        """
        return self.start.config.replace(drop_rate=0.0, attention_drop_rate=None)

    @cached_property
    def gpt(self) -> GPT:
        """The model that it is made from, with a row for every token: also the reference."""
        base = self.request.base
        if not self.settings.adapts and not RunFolder(base).exists():
            raise RunError(
                f"{self.request.folder.path} learns by what {base} said of its replies, which is "
                "gone; bring it back there"
            )
        return super().gpt

    def preferences(self, split: str) -> Sequence[Preference]:
        """Return the preferences of a split."""
        return self.data.preferences(split)

    def prepare(self, screen: Screen) -> None:
        """Read the records, and tell what was made of them."""
        super().prepare(screen)
        screen.decided("Objective", f"{self.objective}, beta {self.asked.beta:g}: of preferences")
        if before := max(self.start.config.drop_rate, self.start.config.attention_dropout):
            screen.decided("Dropout", f"0, as two replies are compared; {before:g} in the base")

    @cached_property
    def tested(self) -> Pairs:
        """The pairs of the test, as ids, and what was cut off; in the order of their hashes."""
        return self._pairs(sorted(self.preferences("test"), key=lambda one: one.normalised))

    def tell_losses(self, screen: Screen) -> None:
        """Tell what of the pairs is not learnt."""
        found = self.learnt, self.validating, self.tested
        limit = f"max_length = {self.max_length}"
        if n := sum(one.n_cut for one in found):
            lost = counted(sum(one.n_lost for one in found), "token")
            screen.notice(f"{counted(n, 'dialogue')} of pairs cut at {limit}: {lost} left out")
        if n := sum(one.n_without_reply for one in found):
            screen.notice(
                f"{counted(n, 'pair')} left out, as all of a reply is cut off; "
                + kept_by(self.max_length, self.config.context_length)
            )
        if n := sum(one.n_equal for one in found):
            screen.notice(
                f"{counted(n, 'pair')} left out, as both replies are the same up to {limit}"
            )
        if n := sum(one.n_straddling for one in found):
            screen.notice(f"{counted(n, 'token')} hold a part of a reply and of what is around it")

    def sizes(self) -> dict[str, int]:
        """Return how many tokens and pairs train and validate."""
        return {
            "train_tokens": self.n_tokens,
            "train_documents": len(self.learnt.pairs),
            "val_tokens": self.validating.n_tokens,
            "val_documents": len(self.validating.pairs),
        }

    def trained_on(self) -> TrainedOn:
        """Return what is known of the training and its records, for what judges it."""
        splits, left_out = (self.learnt, self.validating, self.tested), self.records_left_out()
        for what, n in (
            ("pairs of which all of a reply is cut off", sum(s.n_without_reply for s in splits)),
            ("pairs whose replies are the same in what is read", sum(s.n_equal for s in splits)),
        ):
            if n:
                left_out[what] = n
        return TrainedOn(
            split_rule=self.data.split_rule,
            left_out=left_out,
            splits=splits,
            n_tested=len(self.tested.pairs),
            max_length=self.max_length,
            padding=None,
            chosen_by="lowest loss on the validation pairs",
        )

    def finish(self, folder: RunFolder, screen: Screen) -> None:
        """Compare the model as it was and as it has become on the test pairs; write what came."""
        learnt, exam = self.trained_on(), self._exam(folder)
        self.forget()
        judge_pairs(folder, exam, self.before(folder), learnt, self.preferences("test"), screen)

    def _exam(self, folder: RunFolder) -> PairExam:
        """Return what both models are asked: some questions, too, to show what they say."""
        talks = [
            Dialogue((*one.messages, {"role": ASSISTANT, "content": one.chosen}), one.where)
            for one in self.preferences("test")
        ]
        n, length = min(EXAMPLES, self.asked.n_replies), self.config.context_length
        questions = choose_questions(talks, n, self.template, self.tokenizer, length)
        return PairExam(
            exam=self.exam(folder, [pair.chosen for pair in self.tested.pairs], questions),
            pairs=self.tested.pairs,
            objective=self.objective,
            beta=self.asked.beta,
            places=min(TOKENS_AT_ONCE, 2 * self.settings.batch_size * self.row_length),
        )
