"""What an assistant is asked on the test: the same of the model as it was and as it has become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from groundup.data.dialogue import Dialogue
from groundup.data.tasks import named_kinds
from groundup.evaluate.intervals import wilson
from groundup.evaluate.loss import Evaluation, evaluate_loss
from groundup.evaluate.reply_scores import score_replies
from groundup.finetune.assistant.general_task import GeneralTask
from groundup.finetune.assistant.general_text import GeneralText
from groundup.finetune.assistant.mixed_text import targets_of
from groundup.finetune.assistant.packed_loss import TOKENS_AT_ONCE, packed_loss
from groundup.generate.questions import Reply, write_replies
from groundup.generate.replies import DialogueIds
from groundup.generate.template import ChatTemplate, plain_dialogue
from groundup.model import GPT
from groundup.runs.assistant import Ended, ModelFigures
from groundup.runs.reply_figures import ReplyFigures
from groundup.tokenizer import Tokenizer

LOSS_TOKENS = 131_072
"""Of the test dialogues on which the loss is measured, at most: minutes on a small machine."""
GENERAL_TOKENS = 65_536
"""Of the general text, at most."""
GENERAL_WINDOW = 1024
"""Tokens of it that are seen at once, at most."""
MOST_REPLY_TOKENS, LEAST_REPLY_TOKENS = 512, 64
"""After which a reply is cut off: at twice the longest one that is expected, within these."""
OTHER = "other records"
"""What questions are called that are of no kind of tasks."""

Show = Callable[[str, int, int], None]
"""Is told what is measured, and how much of it is done."""


@dataclass(frozen=True)
class Questions:
    """Test dialogues whose last reply is asked for, in the order of their hashes."""

    dialogues: list[Dialogue]
    no_room: int
    """Dialogues that were chosen, too, but whose last reply does not fit into the context."""
    max_tokens: int
    """After which a reply is cut off."""

    @property
    def answers(self) -> list[str]:
        """The replies that are expected."""
        return [one.messages[-1]["content"] for one in self.dialogues]


def choose_questions(
    dialogues: Sequence[Dialogue],
    n: int,
    template: ChatTemplate,
    tokenizer: Tokenizer,
    context_length: int,
) -> Questions:
    """Return `n` of the dialogues, or all that there are, chosen by hash whatever their order."""
    chosen = sorted(dialogues, key=lambda one: one.normalised)[:n]
    texts = template.rendered(
        (plain_dialogue(one.messages[:-1], tokenizer) for one in chosen),
        lambda number: chosen[number].where,
        add_generation_prompt=True,
    )
    fits, longest = list[Dialogue](), 0
    for one, text in zip(chosen, texts, strict=True):
        reply = len(tokenizer.encode_array(one.messages[-1]["content"])) + 1  # and what ends it
        if len(tokenizer.encode_markup(text)) + reply <= context_length:
            fits.append(one)
            longest = max(longest, reply)
    most = min(MOST_REPLY_TOKENS, max(LEAST_REPLY_TOKENS, 2 * longest))
    return Questions(fits, len(chosen) - len(fits), most)


def kinds_of(dialogues: Sequence[Dialogue]) -> list[str]:
    """Return the kind of each question of the named records `tasks`."""
    known = named_kinds()
    return [known.get(one.messages[-2]["content"], OTHER) for one in dialogues]


def within(rows: Sequence[DialogueIds], most: int) -> list[DialogueIds]:
    """Return the first rows that have at most so many tokens together, one at least."""
    chosen, n_tokens = list[DialogueIds](), 0
    for row in rows:
        n_tokens += len(row.ids)
        if chosen and n_tokens > most:
            break
        chosen.append(row)
    return chosen


@dataclass(frozen=True, kw_only=True)
class Exam:
    """All that is asked, and how; `kinds` are those of the questions, where they have any."""

    rows: Sequence[DialogueIds]
    """Test dialogues on which the loss is measured."""
    row_length: int
    questions: Questions
    unanswered: str
    """Why there are no questions, if there are none."""
    kinds: Sequence[str] | None
    template: ChatTemplate
    tokenizer: Tokenizer
    stop_tokens: Sequence[int]
    general: GeneralText
    task: GeneralTask

    @property
    def loss_tokens(self) -> int:
        """Tokens of replies on which the loss is measured."""
        return targets_of(self.rows)

    def taken_by(self, model: GPT, show: Show) -> tuple[ModelFigures, list[Reply]]:
        """Return the figures of a model, and what it replied to each question."""
        show("test loss", 0, 1)
        loss, _ = packed_loss(model, self.rows, self.row_length)
        replies = self._replies(model, show)
        general = self._general(model, show)
        task = self.task.asked_of(model, self.tokenizer, partial(show, self.task.name))
        show("judged", 1, 1)
        figures = ModelFigures(
            loss=loss,
            replies=self._scores(replies),
            ended=_ended(replies),
            bits_per_byte=general.bits_per_byte if general else None,
            general_tokens=general.tokens if general else 0,
            task=task,
        )
        return figures, replies

    def _replies(self, model: GPT, show: Show) -> list[Reply]:
        dialogues = self.questions.dialogues
        return write_replies(
            model,
            self.tokenizer,
            self.template,
            [one.messages[:-1] for one in dialogues],
            max_tokens=self.questions.max_tokens,
            stop_tokens=self.stop_tokens,
            name=lambda n: dialogues[n].where,
            progress=lambda done, total: show("answers", done, total),
        )

    def _scores(self, replies: Sequence[Reply]) -> ReplyFigures | None:
        if not replies:
            return None
        return score_replies(self.questions.answers, [one.text for one in replies], self.kinds)

    def _general(self, model: GPT, show: Show) -> Evaluation | None:
        if self.general.tokens is None:
            return None
        window = min(GENERAL_WINDOW, model.config.context_length)
        return evaluate_loss(
            model,
            self.general.tokens,
            context_length=window,
            batch_size=max(1, TOKENS_AT_ONCE // window),
            max_tokens=GENERAL_TOKENS,
            progress=lambda done, total: show("general text", done, total),
        )


def _ended(replies: Sequence[Reply]) -> Ended | None:
    if not replies:
        return None
    n, ended = len(replies), sum(reply.ended for reply in replies)
    return Ended(ended=ended, replies=n, share=ended / n, interval=wilson(ended, n))
