"""An assistant by request: of the model of another run, on dialogues on disk."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from groundup.base.words import counted
from groundup.config import GPTConfig, as_table
from groundup.data import PreparedData, prepare
from groundup.data.dialogue_folder import DialogueData
from groundup.evaluate.loss import window_starts
from groundup.finetune.from_base import FromBase
from groundup.finetune.instruct_job import Entries, InstructJob
from groundup.finetune.instruct_request import InstructRequest
from groundup.generate.replies import DialogueIds
from groundup.generate.run_settings import named_template
from groundup.generate.template import CHATML, CHATML_TOKENS, ChatTemplate
from groundup.model import GPT, grown
from groundup.runs import RunFolder
from groundup.runs.generation import with_end_of_text
from groundup.tokenizer import Tokenizer, with_special_tokens
from groundup.train.listener import Screen
from groundup.train.resume import Identity
from groundup.train.start import new_model


class InstructRun(FromBase[GPT], InstructJob):
    """A training by request: of the model of another run, on dialogues on disk."""

    request: InstructRequest

    def __init__(self, request: InstructRequest) -> None:
        super().__init__(request)
        self.asked = request.instruct

    @property
    def rate_share(self) -> float:  # type: ignore[override]
        """Less than 1 for a model that has learnt already."""
        return self.start.rate_share

    @cached_property
    def tokenizer(self) -> Tokenizer:  # type: ignore[override]
        """That of the model, with the tokens of our template where it had none."""
        known = self.base_tokenizer
        return known if self.start.chat_template else with_special_tokens(known, CHATML_TOKENS)

    @cached_property
    def template(self) -> ChatTemplate:  # type: ignore[override]
        """That of the model, or ours."""
        source = self.start.chat_template or CHATML
        return named_template(source, self.start.generation, self.tokenizer)

    @cached_property
    def config(self) -> GPTConfig:  # type: ignore[override]
        """The model that it is made from, with a row of its embedding for every token."""
        config = self.start.config
        return config.replace(vocab_size=max(config.vocab_size, self.tokenizer.vocab_size))

    @cached_property
    def gpt(self) -> GPT:
        """The model that it is made from, with a row for every token."""
        model, n_known = self.start.model(self.start.config, 0), self.base_tokenizer.vocab_size
        return grown(model, self.tokenizer.vocab_size - n_known, known=n_known)

    @cached_property
    def data(self) -> DialogueData:
        """The dialogues, read once."""
        return self.request.data()

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

    def prepare(self, screen: Screen) -> None:
        """Read the records, and tell what was made of them."""
        screen.prepared_dialogues(self.data)
        if self.start.chat_template is None:
            names = " and ".join(CHATML_TOKENS)
            screen.decided("Template", f"ours (ChatML), with new tokens {names}; the base has none")
        else:
            there = RunFolder(self.request.base).exists()
            screen.decided(
                "Template", f"that of {self.request.base if there else 'the run itself'}"
            )
        self._tell_losses(screen)

    def _tell_losses(self, screen: Screen) -> None:
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

    def identity(self) -> Identity:
        """Return the request, with what its records and its base turned out to be."""
        data = {"fingerprint": self.data.fingerprint}
        if self.mix is not None:
            data["fingerprint_of_mix"] = self.mix.fingerprint
        found = {"model": as_table(self.config), "data": data, **self.start.identity}
        return self.request.identity(self.start.config, found)

    def data_table(self) -> dict[str, Any]:
        """Return where the records are from, and how they were divided."""
        tokenizer, rows = self.tokenizer, self.validating.rows
        return {
            "sources": list(self.request.records),
            "fingerprint": self.data.fingerprint,
            "folder": str(self.data.folder),
            "tokenizer": tokenizer.kind,
            "tokenizer_fingerprint": tokenizer.fingerprint,
            "vocab_size": tokenizer.vocab_size,
            "split_rule": self.data.split_rule,
            "train_tokens": self.n_tokens,
            "train_documents": len(self.learnt.rows),
            "val_tokens": sum(len(row.ids) - 1 for row in rows),
            "val_documents": len(rows),
        }

    def skeleton(self) -> GPT:
        """Return a model that is about to be filled from a checkpoint."""
        return self.model(0) if self.settings.adapts else new_model(self.config, 0)

    def write(self, folder: RunFolder) -> None:
        """Write the tokenizer, the template, and what ends a reply."""
        self.tokenizer.save(folder.tokenizer)
        generation = dict(self.start.generation)
        end = self.tokenizer.end_of_text
        stops = generation.get("stop_tokens") or ([] if end is None else [end])
        generation["stop_tokens"] = list(dict.fromkeys([*stops, *self.turn_ends]))
        generation = with_end_of_text(generation, self.tokenizer.given_end)
        folder.write_chat_settings(self.template.source, generation)
