"""An assistant by request: of the model of another run, on dialogues on disk."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from groundup.base.errors import RunError
from groundup.base.words import counted
from groundup.config import GPTConfig, as_table
from groundup.data import PreparedData, prepare
from groundup.data.dialogue_folder import DialogueData
from groundup.evaluate.loss import window_starts
from groundup.finetune.dialogue_rows import Learnable, learnable
from groundup.finetune.exam import (
    LOSS_TOKENS,
    Exam,
    Questions,
    choose_questions,
    kinds_of,
    within,
)
from groundup.finetune.from_base import FromBase
from groundup.finetune.general_text import GeneralText, asked_text, text_of_base
from groundup.finetune.instruct_job import Entries, InstructJob
from groundup.finetune.instruct_request import InstructRequest
from groundup.finetune.judge_assistant import Before, TrainedOn, judge_assistant
from groundup.generate.replies import DialogueIds
from groundup.generate.run_settings import named_template
from groundup.generate.template import CHATML, CHATML_TOKENS, ChatTemplate
from groundup.model import GPT, grown
from groundup.runs import RunFolder
from groundup.runs.checkpoint import choose_checkpoint
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
        return self.as_it_was()

    def as_it_was(self) -> GPT:
        """Return the model at step 0, the new rows of its vocabulary among it."""
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
        return None if self.asked.mix_text is None else self._prepared(self.asked.mix_text)

    def _prepared(self, text: str) -> PreparedData:
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
        text = self.general
        screen.decided("Forgetting", f"measured on {text.name}" if text.name else text.missing)
        if n := self.questions.no_room:
            screen.notice(
                f"{counted(n, 'test question')} of {self.asked.n_replies:,} not asked, as no room "
                "is left for the reply in what the model sees"
            )

    def _tell_losses(self, screen: Screen) -> None:
        """Tell what of the dialogues is not learnt."""
        found = self.learnt, self.validating, self.tested
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

    @cached_property
    def tested(self) -> Learnable:
        """Those that test, as ids; in an order of which any beginning is fair."""
        entries = sorted(self.entries("test"), key=lambda entry: entry.normalised)
        return learnable(entries, self.template, self.tokenizer, self.max_length)

    @cached_property
    def questions(self) -> Questions:
        """Those of the test to be answered before and after."""
        dialogues, n = self.data.dialogues("test"), self.asked.n_replies
        length = self.config.context_length
        return choose_questions(dialogues, n, self.template, self.tokenizer, length)

    @cached_property
    def general(self) -> GeneralText:
        """The text on which it is measured what was forgotten: as asked, or that of the base."""
        if (name := self.asked.general_text) is None:
            return text_of_base(self.request.base)
        return asked_text(name, self._prepared(name))

    def finish(self, folder: RunFolder, screen: Screen) -> None:
        """Ask the model as it was and as it has become, and write what came of it."""
        settings = folder.train_config(folder.read())
        order, n_rows = self.source(settings).order, settings.steps * settings.sequences_per_step
        left_out = {what: one["count"] for what, one in self.data.manifest["left_out"].items()}
        splits = self.learnt, self.validating, self.tested
        if n_short := sum(len(one.left_out) for one in splits):
            left_out["dialogues of which all replies are cut off"] = n_short
        learnt = TrainedOn(
            split_rule=self.data.split_rule,
            left_out=left_out,
            splits=splits,
            max_length=self.max_length,
            padding=order.padding_share(n_rows),
            unanswered=self._unanswered(),
        )
        self.forget()
        judge_assistant(folder, self._exam(folder), self._before(folder), learnt, screen)

    def is_judged(self, folder: RunFolder) -> bool:
        """Return whether the figures of the test are there."""
        return folder.assistant.exists()

    def _exam(self, folder: RunFolder) -> Exam:
        """Return what both models are asked."""
        rows = within(self.tested.rows, LOSS_TOKENS)
        sources = *self.request.records, *(self.request.reading.get("test_sources") or ())
        return Exam(
            rows=rows,
            row_length=max(self.row_length, *(len(row.ids) - 1 for row in rows)),
            questions=self.questions,
            kinds=kinds_of(self.questions.dialogues) if "tasks" in sources else None,
            template=self.template,
            tokenizer=self.tokenizer,
            stop_tokens=folder.read_generation().get("stop_tokens", ()),
            general=self.general,
        )

    def _unanswered(self) -> str:
        """Say why no question is asked, if none is."""
        if not self.asked.n_replies:
            return "none was asked for (n_replies = 0)"
        return "" if self.data.dialogues("test") else "the test has texts alone"

    def _before(self, folder: RunFolder) -> Before:
        """Return what makes the model at step 0, or why it cannot be had any more."""
        if self.base is not None:  # on which adapters stand, proved by its hash whenever loaded
            return self.as_it_was
        origin, base = folder.read().origin, RunFolder(self.request.base)
        if not base.exists():
            return f"{base.path}, which it was made from, is gone"
        try:
            checkpoint, _ = choose_checkpoint(base, "best")
        except RunError as error:
            return str(error)
        if origin is None or checkpoint.fingerprint() != origin.weights:
            return f"{base.path}, which it was made from, has other weights by now"
        return self.as_it_was

    def write(self, folder: RunFolder) -> None:
        """Write the tokenizer, the template, and what ends a reply."""
        self.tokenizer.save(folder.tokenizer)
        generation = dict(self.start.generation)
        end = self.tokenizer.end_of_text
        stops = generation.get("stop_tokens") or ([] if end is None else [end])
        generation["stop_tokens"] = list(dict.fromkeys([*stops, *self.turn_ends]))
        generation = with_end_of_text(generation, self.tokenizer.given_end)
        folder.write_chat_settings(self.template.source, generation)
