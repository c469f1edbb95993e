"""An assistant by request: of the model of another run, on dialogues on disk."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from groundup.base.errors import RunError
from groundup.base.words import counted
from groundup.data import PreparedData, open_prepared, prepare
from groundup.finetune.chat_run import ChatRun
from groundup.finetune.dialogue_rows import Learnable
from groundup.finetune.exam import (
    LOSS_TOKENS,
    Exam,
    Questions,
    choose_questions,
    kinds_of,
    within,
)
from groundup.finetune.general_text import GeneralText, asked_text, text_of_base
from groundup.finetune.instruct_job import Entries, InstructJob
from groundup.finetune.instruct_request import MIX_FOLDER
from groundup.finetune.judge_assistant import Before, TrainedOn, judge_assistant
from groundup.finetune.mixed_text import mixed_rows, rows_fingerprint, targets_of
from groundup.generate.replies import DialogueIds
from groundup.runs import RunFolder
from groundup.runs.checkpoint import choose_checkpoint
from groundup.train.choices import Choices
from groundup.train.listener import Screen


class InstructRun(ChatRun, InstructJob):
    """A training by request: of the model of another run, on dialogues on disk."""

    def entries(self, split: str) -> Entries:
        """Return the dialogues and texts of a split."""
        return [*self.data.dialogues(split), *self.data.texts(split)]

    @cached_property
    def mix(self) -> PreparedData | None:
        """The text that goes on being learnt, if any: as its shards were kept, or read."""
        text, kept = self.asked.mix_text, self.request.prepared_mix
        if text is None:
            return None
        return self._prepared(text) if kept is None else open_prepared(kept)

    def _prepared(self, text: str) -> PreparedData:
        return prepare(
            [text],
            self.start.tokenizer,
            self.start.config.vocab_size,
            self.request.data_folder,
            progress=self.screen.preparing,
            **self.start.text_options,
        )

    def mixed_text(self, n_targets: int) -> list[DialogueIds]:
        """Return windows of the text that is mixed in, spread evenly over it."""
        if self.mix is None:
            return []
        how = self.row_length, n_targets, self.asked.mix_share, self.start_token
        return mixed_rows(self.mix.tokens("train"), *how)

    @property
    def mixed(self) -> list[DialogueIds]:
        """Of all rows to learn from, those of the text that is mixed in."""
        return self.train_rows[len(self.learnt.rows) :]

    def prepare(self, screen: Screen) -> None:
        """Read the records and the texts, and tell what was made of them, and what is asked."""
        super().prepare(screen)
        self.n_tokens = sum(len(row.ids) - 1 for row in self.train_rows)
        if self.mix is not None:
            self._tell_mixed(screen, self.mix)
        text = self.general
        screen.decided("Forgetting", f"measured on {text.name}" if text.name else text.missing)
        if n := self.questions.no_room:
            screen.notice(
                f"{counted(n, 'test question')} of {self.asked.n_replies:,} not asked, as no room "
                "is left for the reply in what the model sees"
            )

    def tell_losses(self, screen: Screen) -> None:
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

    def _tell_mixed(self, screen: Screen, mix: PreparedData) -> None:
        """Tell how much of the text is mixed in, and where that is less than was asked for."""
        n, n_replies, asked = targets_of(self.mixed), targets_of(self.learnt.rows), self.asked
        text, share = asked.mix_text, n / (n + n_replies)
        for line in mix.notices:
            screen.notice(line)
        rows = counted(len(self.mixed), "row")
        screen.decided("Mixed in", f"{n:,} tokens of {text} in {rows}: {share:.1%} of what counts")
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
        mixed = {} if self.mix is None else {"fingerprint_of_mix": rows_fingerprint(self.mixed)}
        return {**super().fingerprints(), **mixed}

    def sizes(self) -> dict[str, int]:
        """Return how many tokens and dialogues train and validate."""
        rows = self.validating.rows
        return {
            "train_tokens": self.n_tokens or 0,
            "train_documents": len(self.learnt.rows),
            "val_tokens": sum(len(row.ids) - 1 for row in rows),
            "val_documents": len(rows),
        }

    @cached_property
    def tested(self) -> Learnable:
        """Those that test, as ids; in an order of which any beginning is fair."""
        entries = sorted(self.entries("test"), key=lambda entry: entry.normalised)
        return self.learnable_rows(entries)

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
