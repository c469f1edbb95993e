"""What trainings on dialogues by request share: the test, of which both models are asked."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

from groundup.base.errors import UsageError
from groundup.base.words import counted
from groundup.evaluate.endpoint import KEY, Endpoint
from groundup.finetune.assistant.dialogue_rows import Entries, Learnable
from groundup.finetune.assistant.exam import Exam, Questions, choose_questions, kinds_of
from groundup.finetune.assistant.judge import TrainedOn, judge_assistant
from groundup.finetune.assistant.judge_replies import judge_replies
from groundup.finetune.assistant.request import is_judged_by
from groundup.finetune.assistant.run import ChatRun
from groundup.runs import RunFolder
from groundup.runs.assistant import read_assistant
from groundup.train.listener import Screen


class DialogueRun(ChatRun):
    """A training by request: of the model of another run, on dialogues on disk."""

    def entries(self, split: str) -> Entries:
        """Return the dialogues and texts of a split."""
        return [*self.data.dialogues(split), *self.data.texts(split)]

    def prepare(self, screen: Screen) -> None:
        """Read the records, and tell what was made of them, and what is asked."""
        super().prepare(screen)
        if self.judge is not None:
            self._check_judge(screen, self.judge)
        if n := self.questions.no_room:
            screen.notice(
                f"{counted(n, 'test question')} of {n + len(self.questions.dialogues):,} not "
                "asked, as no room is left for the reply in what the model sees"
            )

    def _check_judge(self, screen: Screen, judge: Endpoint) -> None:
        """Say who judges, or refuse where there is nothing to judge."""
        if not self.questions.dialogues:
            raise UsageError(
                f"--judge {judge.url}: compares replies, but no test question is answered: "
                f"{self._unanswered() or 'none leaves room for its reply'}; leave it out"
            )
        n, key = len(self.questions.dialogues), f"with {KEY}" if judge.key else "without a key"
        said = f"{judge.asked_model or 'the model'} at {judge.url}, {key}"
        screen.decided("Judge", f"{said}: compares {counted(n, 'reply pair')} in both orders")

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
        """Ask the model as it was and as it has become, then a judge; write what came of it.

        What was found before a judge was asked, or named, stands: `write` has removed what was not
        found of the model as it is.
        """
        if not (folder.assistant.exists() and folder.replies.exists()):
            learnt = self.trained_on(folder)
            self.forget()
            judge_assistant(folder, self._exam(folder), self.before(folder), learnt, screen)
        if self.judge is not None:
            self.forget()
            judge_replies(folder, self.judge, screen)

    def is_judged(self, folder: RunFolder) -> bool:
        """Return whether the figures of the test are there, and those of the judge that is asked.

        Where there is nothing to compare, that is told each time.
        """
        if not super().is_judged(folder) or self.judge is None:
            return super().is_judged(folder)
        record = read_assistant(folder.assistant)
        return record is not None and is_judged_by(self.judge, record)

    def _exam(self, folder: RunFolder) -> Exam:
        """Return what both models are asked."""
        sources = *self.request.records, *(self.request.reading.get("test_sources") or ())
        kinds = kinds_of(self.questions.dialogues) if "tasks" in sources else None
        return self.exam(
            folder, self.tested.rows, self.questions, unanswered=self._unanswered(), kinds=kinds
        )

    def _unanswered(self) -> str:
        """Say why no question is asked, if none is."""
        if not self.asked.n_replies:
            return "none was asked for (n_replies = 0)"
        return "" if self.data.dialogues("test") else "the test has texts alone"
