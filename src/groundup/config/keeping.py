"""The settings of what stands beside learning: validations, samples, checkpoints, safeguards."""

from __future__ import annotations

from dataclasses import dataclass

from groundup.config.fields import Settings, require, require_at_least, require_one_of

POLICIES = ("stop", "skip", "back")


@dataclass(frozen=True, kw_only=True)
class Keeping(Settings):
    """How often a run validates, shows a sample and saves, and which checkpoints it keeps."""

    eval_every: int | None = None
    """Steps between validations; None gives 20 of them in a run."""
    eval_tokens: int | None = None
    """Most validation tokens used while training, spread over the split; the end uses all. None is
    16,384, or fewer where these would take more than 3% of the run."""
    sample_every: int | None = None
    """Steps between samples of the model's own writing; None gives 5 of them in a run."""
    sample_tokens: int = 60
    """Length of such a sample; 0 writes none."""
    sample_prompt: str = ""
    """What samples continue; empty is a line from the middle of the validation text."""
    save_every: int | None = None
    """Steps between checkpoints; None follows eval_every."""
    save: str = "auto"
    """auto, background (a copy is written beside the training) or foreground."""
    keep: int = 2
    """Latest checkpoints kept, besides the best."""
    keep_every: int | None = None
    """Checkpoints of every so many steps are kept too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "eval_every", "eval_tokens", "sample_every")
        require_at_least(self, 1, "save_every", "keep", "keep_every")
        require_at_least(self, 0, "sample_tokens")
        require_one_of(self, ("auto", "background", "foreground"), "save")


@dataclass(frozen=True, kw_only=True)
class Safeguards(Settings):
    """What a run does when a step goes wrong."""

    on_nonfinite: str = "stop"
    """Of a loss or gradient that is no finite number: stop, skip (the step is left out) or back
    (to the last checkpoint, with half the learning rate). The weights stay as they were."""
    on_spike: str = "report"
    """Of a loss that leaps up: report, ignore, stop, skip or back."""
    spike_score: float = 10.0
    """How many deviations above the median of the last 100 losses a leap is."""
    max_skips: int = 10
    """Steps that may be left out in a run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 0, "max_skips")
        require(self.spike_score > 0, "spike_score", self.spike_score, "a positive number")
        require_one_of(self, POLICIES, "on_nonfinite")
        require_one_of(self, ("report", "ignore", *POLICIES), "on_spike")
