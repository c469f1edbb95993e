"""What trainings on dialogues by request share: the test, of which both models are asked."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

from groundup.base.words import counted
from groundup.finetune.chat_run import ChatRun
from groundup.finetune.dialogue_rows import Entries, Learnable
from groundup.finetune.exam import (
    LOSS_TOKENS,
    Exam,
    Questions,
    choose_questions,
    kinds_of,
    within,
)
from groundup.finetune.judge_assistant import TrainedOn, judge_assistant
from groundup.runs import RunFolder
from groundup.train.listener import Screen


class DialogueRun(ChatRun):
    """A training by request: of the model of another run, on dialogues on disk."""

    def entries(self, split: str) -> Entries:
        """Return the dialogues and texts of a split."""
        return [*self.data.dialogues(split), *self.data.texts(split)]

    def prepare(self, screen: Screen) -> None:
        """Read the records, and tell what was made of them, and what is asked."""
        super().prepare(screen)
        if n := self.questions.no_room:
            screen.notice(
                f"{counted(n, 'test question')} of {self.asked.n_replies:,} not asked, as no room "
                "is left for the reply in what the model sees"
            )

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

    @abstractmethod
    def trained_on(self, folder: RunFolder) -> TrainedOn:
        """Return what is known of the training and its records, for what judges it."""

    def finish(self, folder: RunFolder, screen: Screen) -> None:
        """Ask the model as it was and as it has become, and write what came of it."""
        learnt = self.trained_on(folder)
        self.forget()
        judge_assistant(folder, self._exam(folder), self.before(folder), learnt, screen)

    def _exam(self, folder: RunFolder) -> Exam:
        """Return what both models are asked."""
        rows = within(self.tested.rows, LOSS_TOKENS)
        sources = *self.request.records, *(self.request.reading.get("test_sources") or ())
        return Exam(
            rows=rows,
            row_length=max([self.row_length, *(len(row.ids) - 1 for row in rows)]),
            questions=self.questions,
            unanswered=self._unanswered(),
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
