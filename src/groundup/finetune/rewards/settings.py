"""The settings of an assistant that learns from a reward, beside those of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groundup.base.errors import ConfigError
from groundup.config.fields import build, by_name, require, require_at_least, require_one_of
from groundup.data.tasks import KINDS
from groundup.finetune.settings import InstructSettings, instruct_defaults
from groundup.runs.assistant import GRPO


@by_name
@dataclass(frozen=True, kw_only=True)
class RewardSettings(InstructSettings):
    """What an assistant learns with from replies of its own; those of `InstructSettings`, too.

    A question is learnt from where its tokens and `max_tokens` more are within `max_length`.
    """

    objective: str = GRPO
    """Group relative policy optimization: replies to a question are compared with each other."""
    group: int = 8
    """Replies to a question, which are compared with each other."""
    max_tokens: int = 32
    """Most tokens of a reply; one that has not ended by then is wrong."""
    kl: float = 0.0
    """The reward that a nat of divergence from the model it is made from costs; 0 is free."""
    temperature: float = 1.0
    """At which replies are drawn. What learns is the model at this temperature, too."""
    kinds: str | None = None
    """Which of the named records `tasks` are learnt from, kinds with commas between; None is all of
    the records, whatever they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, (GRPO,), "objective")
        require_at_least(self, 2, "group")
        require_at_least(self, 1, "max_tokens")
        require_at_least(self, 0, "kl")
        require(self.temperature > 0, "temperature", self.temperature, "above 0, such as 1")
        unknown = [kind for kind in self.chosen_kinds if kind not in KINDS]
        expected = f"one or more of {', '.join(KINDS)}"
        require(not unknown and self.kinds != "", "kinds", self.kinds, expected)
        without = "nothing: no text is learnt beside the replies"
        require(self.mix_text is None, "mix_text", self.mix_text, without)

    @property
    def chosen_kinds(self) -> tuple[str, ...]:
        """The kinds by their names; none where all records are learnt from."""
        return tuple(kind.strip() for kind in self.kinds.split(",")) if self.kinds else ()


def settings_of(table: Mapping[str, Any]) -> InstructSettings:
    """Return the settings of an assistant that a table says, of the kind of its objective."""
    if table.get("objective") == GRPO:
        return build(RewardSettings, table)
    known = InstructSettings.__dataclass_fields__
    if only := [key for key in table if key in RewardSettings.__dataclass_fields__.keys() - known]:
        raise ConfigError(
            f"{only[0]} = {table[only[0]]}: a setting of objective = {GRPO} alone; add "
            f"--objective {GRPO}, or leave it out"
        )
    return build(InstructSettings, table)


def defaults_of(settings: InstructSettings) -> dict[str, Any]:
    """Return the settings of training an assistant that are otherwise than in pretraining."""
    return reward_defaults() if isinstance(settings, RewardSettings) else instruct_defaults()


def reward_defaults() -> dict[str, Any]:
    """Return the settings of such a training that are otherwise than in pretraining.

    A batch is of questions, each with its group of replies.
    """
    return {**instruct_defaults(), "batch_size": 8}
