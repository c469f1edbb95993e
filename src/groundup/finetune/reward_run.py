"""A training by rewards by request: of the model of another run, on questions on disk."""

from __future__ import annotations

from typing import Any

from groundup.base.errors import RunError
from groundup.finetune.instruct_request import InstructRequest
from groundup.finetune.instruct_run import InstructRun
from groundup.finetune.reward_job import RewardJob
from groundup.finetune.reward_settings import RewardSettings
from groundup.model import GPT
from groundup.runs import RunFolder
from groundup.train.choices import Choices


class RewardRun(RewardJob, InstructRun):
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

    def data_table(self) -> dict[str, Any]:
        """Return where the records are from, and how they were divided."""
        n_val = int(self.validating.lengths.sum())
        return {**super().data_table(), "val_tokens": n_val}
