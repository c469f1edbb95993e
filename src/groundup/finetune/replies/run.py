"""An assistant by request: of the model of another run, on dialogues on disk."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from groundup.base.words import counted
from groundup.data import PreparedData, open_prepared
from groundup.finetune.assistant.dialogue_rows import losses_of
from groundup.finetune.assistant.dialogue_run import DialogueRun
from groundup.finetune.assistant.judge import TrainedOn
from groundup.finetune.assistant.mixed_text import MixedText, targets_of
from groundup.finetune.assistant.request import MIX_FOLDER
from groundup.finetune.replies.job import InstructJob
from groundup.processes.launch import is_first
from groundup.runs import RunFolder
from groundup.train.choices import Choices
from groundup.train.listener import Screen


class InstructRun(DialogueRun, InstructJob):
    """A training by request: of the model of another run, on dialogues on disk."""

    @cached_property
    def mix(self) -> PreparedData | None:
        """The text that goes on being learnt, if any: as its shards were kept, or read."""
        text, kept = self.asked.mix_text, self.request.prepared_mix
        if text is None:
            return None
        return self.prepared_text(text) if kept is None else open_prepared(kept)

    @cached_property
    def mixed(self) -> MixedText | None:
        """Rows of the text that is mixed in."""
        if self.mix is None:
            return None
        return MixedText(
            self.mix.tokens("train", verify=is_first()),
            self.row_length,
            targets_of(self.learnt.rows),
            self.asked.mix_share,
            self.settings.seed,
            self.start_token,
        )

    def prepare(self, screen: Screen) -> None:
        """Read the records and the texts, and tell what was made of them, and what is asked."""
        super().prepare(screen)
        self.n_tokens = self.source(self.settings).n_tokens
        if self.mix is not None and self.mixed is not None:
            self._tell_mixed(screen, self.mix, self.mixed)

    def tell_losses(self, screen: Screen) -> None:
        """Tell what of the dialogues is not learnt."""
        splits, context = (self.learnt, self.validating, self.tested), self.config.context_length
        for line in losses_of(splits, self.max_length, context):
            screen.notice(line)

    def _tell_mixed(self, screen: Screen, mix: PreparedData, mixed: MixedText) -> None:
        """Tell how much of the text is mixed in, and where that is less than was asked for."""
        n, n_replies, asked = mixed.n_targets, targets_of(self.learnt.rows), self.asked
        text, share = asked.mix_text, n / (n + n_replies)
        for line in mix.notices:
            screen.notice(line)
        rows = f"{counted(mixed.n_rows, 'row')} of {mixed.n_windows:,}"
        screen.decided(
            "Mixed in",
            f"{n:,} tokens of {text} a pass, other ones each time, in {rows}: {share:.1%} of what "
            "counts",
        )
        if abs(n - asked.mix_share * (n + n_replies)) > self.row_length:
            screen.notice(
                f"{text} has no more tokens to learn from, so that its share is not mix_share = "
                f"{asked.mix_share:g}; give more of it"
            )

    def decide(self, choices: Choices, screen: Screen) -> dict[str, Any]:
        """Return what run.toml says of the job."""
        decided = super().decide(choices, screen)
        if self.mix is not None:
            decided["settings"][MIX_FOLDER] = str(self.mix.folder)
        return decided

    def fingerprints(self) -> dict[str, str]:
        """Return those of the dialogues, of the template, and of the text that is mixed in."""
        mixed = {} if self.mix is None else {"fingerprint_of_mix": self.mix.fingerprint}
        return {**super().fingerprints(), **mixed}

    def sizes(self) -> dict[str, int]:
        """Return how many tokens and dialogues train and validate."""
        rows = self.validating.rows
        return {
            "train_tokens": self.n_tokens or 0,
            "train_documents": len(self.learnt.rows),
            "val_tokens": sum(row.n_read for row in rows),
            "val_documents": len(rows),
        }

    def trained_on(self, folder: RunFolder) -> TrainedOn:
        """Return what is known of the training and its records, for what judges it."""
        settings = folder.train_config(folder.read())
        order, n_rows = self.source(settings).order, settings.steps * settings.sequences_per_step
        splits, left_out = (self.learnt, self.validating, self.tested), self.records_left_out()
        if n_short := sum(len(one.left_out) for one in splits):
            left_out["dialogues of which all replies are cut off"] = n_short
        return TrainedOn(
            split_rule=self.data.split_rule,
            left_out=left_out,
            splits=splits,
            n_tested=len(self.tested.rows),
            max_length=self.max_length,
            padding=order.padding_share(n_rows),
        )
