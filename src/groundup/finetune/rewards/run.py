"""A training by rewards by request: of the model of another run, on questions on disk."""

from __future__ import annotations

from groundup.base.errors import RunError
from groundup.base.words import counted
from groundup.finetune.assistant.dialogue_run import DialogueRun
from groundup.finetune.assistant.judge import TrainedOn
from groundup.finetune.assistant.request import InstructRequest
from groundup.finetune.rewards.job import RewardJob
from groundup.finetune.rewards.settings import RewardSettings
from groundup.model import GPT
from groundup.runs import RunFolder
from groundup.runs.assistant import GRPO, SFT
from groundup.train.choices import Choices
from groundup.train.listener import Screen


class RewardRun(DialogueRun, RewardJob):
    """A training by request: its `instruct` are `RewardSettings`."""

    request: InstructRequest

    def __init__(self, request: InstructRequest) -> None:
        super().__init__(request)
        assert isinstance(request.instruct, RewardSettings), "it has a reward"
        self.asked = request.instruct

    def reference(self, model: GPT, choices: Choices) -> GPT:
        """Return the model as it is before it learns; all weights of it are those of the base."""
        base = self.request.base
        if not self.settings.adapts and not RunFolder(base).exists():
            raise RunError(
                f"{self.request.folder.path} measures with kl = {self.asked.kl:g} how far it is "
                f"from {base}, which is gone; bring it back"
            )
        return super().reference(model, choices)

    def tell_losses(self, screen: Screen) -> None:
        """Tell what is rewarded, and which questions are not asked or cannot be answered."""
        asked = self.asked
        kinds = f" of {', '.join(asked.chosen_kinds)}" if asked.chosen_kinds else ""
        n = counted(len(self.learnt.rows), "question")
        screen.decided(
            "Reward",
            f"1 where a reply is the answer and ends within {asked.max_tokens} tokens, else 0; "
            f"{asked.group} replies to each of {n}{kinds}",
        )
        self._tell_doubts(screen)
        found = self.learnt, self.validating
        if left_out := [where for one in found for where in one.left_out]:
            screen.notice(
                f"{counted(len(left_out), 'question')} left out, with no room for max_tokens = "
                f"{asked.max_tokens} within max_length = {self.max_length} (first: {left_out[0]})"
            )
        if n_too_long := sum(one.n_too_long for one in found):
            screen.notice(
                f"{counted(n_too_long, 'answer')} of more than max_tokens = {asked.max_tokens}, "
                "with the token that ends it: what is rewarded is not to be reached there"
            )
        if n_cut := self.tested.n_cut:
            screen.notice(
                f"{counted(n_cut, 'test dialogue')} cut at max_length = {self.max_length}: "
                f"{counted(self.tested.n_lost, 'token')} left out of the held-out loss"
            )

    def _tell_doubts(self, screen: Screen) -> None:
        """Tell what may keep a model from learning, or its experts from being busy."""
        if self.start.chat_template is None:
            screen.notice(
                f"{self.request.base} has not learnt to answer: of questions that are never "
                f"answered right, nothing is learnt; first learn replies, with --objective {SFT}"
            )
        if self.config.n_experts and self.settings.balance_loss:
            screen.notice(
                f"balance_loss = {self.settings.balance_loss:g} is not added with objective = "
                f"{GRPO}: nothing keeps the experts evenly busy"
            )

    def sizes(self) -> dict[str, int]:
        """Return how many tokens and questions train and validate."""
        return {
            "train_tokens": self.n_tokens,
            "train_documents": len(self.learnt.rows),
            "val_tokens": int(self.validating.lengths.sum()),
            "val_documents": len(self.validating.rows),
        }

    def trained_on(self, folder: RunFolder) -> TrainedOn:
        """Return what is known of the training and its records, for what judges it.

        Of questions nothing is cut off, and how long replies were is not kept.
        """
        left_out = self.records_left_out()
        if n := sum(len(one.left_out) for one in (self.learnt, self.validating)):
            left_out["questions with no room for a reply"] = n
        if n := len(self.tested.left_out):
            left_out["test dialogues of which all replies are cut off"] = n
        return TrainedOn(
            split_rule=self.data.split_rule,
            left_out=left_out,
            splits=[self.tested],
            n_tested=len(self.tested.rows),
            max_length=self.max_length,
            padding=None,
            chosen_by="most right replies to the validation questions",
        )
