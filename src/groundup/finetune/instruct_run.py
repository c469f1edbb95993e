"""An assistant by request: of the model of another run, on dialogues on disk."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from groundup.base.words import counted
from groundup.data import PreparedData, prepare
from groundup.evaluate.loss import window_starts
from groundup.finetune.chat_run import ChatRun
from groundup.finetune.instruct_job import Entries, InstructJob
from groundup.generate.replies import DialogueIds
from groundup.train.listener import Screen


class InstructRun(ChatRun, InstructJob):
    """A training by request: of the model of another run, on dialogues on disk."""

    def entries(self, split: str) -> Entries:
        """Return the dialogues and texts of a split."""
        return [*self.data.dialogues(split), *self.data.texts(split)]

    @cached_property
    def mix(self) -> PreparedData | None:
        """The text that goes on being learnt, if any."""
        return self._prepared(self.asked.mix_text)

    def _prepared(self, text: str | None) -> PreparedData | None:
        if text is None:
            return None
        return prepare(
            [text],
            self.start.tokenizer,
            self.start.config.vocab_size,
            self.request.data_folder,
            **self.start.text_options,
        )

    def mixed_text(self, n_targets: int) -> list[DialogueIds]:
        """Return windows of the text that is mixed in, spread evenly over it."""
        if self.mix is None:
            return []
        tokens, share = self.mix.tokens("train"), self.asked.mix_share
        wanted = round(n_targets * share / (1 - share))
        starts = window_starts(tokens.n_tokens, self.row_length, max(1, wanted))
        rows = []
        for begin in starts:
            ids = tokens.read(begin, min(self.row_length + 1, tokens.n_tokens - begin))
            rows.append(DialogueIds(ids.astype(np.uint32), np.ones(len(ids), np.bool_), 0))
        return rows

    def tell_losses(self, screen: Screen) -> None:
        """Tell what of the dialogues is not learnt."""
        found = self.learnt, self.validating
        if n_cut := sum(one.n_cut for one in found):
            lost = counted(sum(one.n_lost for one in found), "token")
            screen.notice(
                f"{counted(n_cut, 'dialogue')} cut at max_length = {self.max_length}: {lost} left "
                "out"
            )
        if left_out := [where for one in found for where in one.left_out]:
            screen.notice(
                f"{counted(len(left_out), 'dialogue')} left out, as all replies are cut off "
                f"(first: {left_out[0]}); a larger max_length keeps them"
            )
        if n := sum(one.n_straddling for one in found):
            screen.notice(f"{counted(n, 'token')} hold a part of a reply and of what is around it")

    def fingerprints(self) -> dict[str, str]:
        """Return those of the dialogues, and of the text that is mixed in."""
        mixed = {} if self.mix is None else {"fingerprint_of_mix": self.mix.fingerprint}
        return {**super().fingerprints(), **mixed}

    def sizes(self) -> dict[str, int]:
        """Return how many tokens and dialogues train and validate."""
        rows = self.validating.rows
        return {
            "train_tokens": self.n_tokens,
            "train_documents": len(self.learnt.rows),
            "val_tokens": sum(len(row.ids) - 1 for row in rows),
            "val_documents": len(rows),
        }
