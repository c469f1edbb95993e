"""How good a model is: loss and perplexity on a text, accuracy in tasks, a classifier, replies.

Each name is imported on first use: what is refused without torch does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundup.base.lazy import on_first_use

if TYPE_CHECKING:
    from groundup.evaluate.answers import token_f1 as token_f1
    from groundup.evaluate.candidate import Candidate as Candidate
    from groundup.evaluate.classification import Classification as Classification
    from groundup.evaluate.classification import mcnemar as mcnemar
    from groundup.evaluate.likelihood import BATCH_TOKENS as BATCH_TOKENS
    from groundup.evaluate.likelihood import Score as Score
    from groundup.evaluate.likelihood import log_likelihoods as log_likelihoods
    from groundup.evaluate.loss import Evaluation as Evaluation
    from groundup.evaluate.loss import evaluate_loss as evaluate_loss
    from groundup.evaluate.reply_scores import score_replies as score_replies
    from groundup.evaluate.reply_scores import score_tasks as score_tasks
    from groundup.evaluate.rows import Request as Request
    from groundup.evaluate.run_task import TaskResult as TaskResult
    from groundup.evaluate.run_task import evaluate_task as evaluate_task
    from groundup.evaluate.run_task import sit as sit
    from groundup.evaluate.task_files import read_questions as read_questions
    from groundup.evaluate.tasks import TASKS as TASKS
    from groundup.evaluate.text import TextResult as TextResult
    from groundup.evaluate.text import evaluate_text as evaluate_text
    from groundup.evaluate.text import windows as windows
    from groundup.evaluate.validation import validation_split as validation_split

_MODULES = {
    "token_f1": "answers",
    "Candidate": "candidate",
    "Classification": "classification",
    "mcnemar": "classification",
    "read_questions": "task_files",
    "TaskResult": "run_task",
    "evaluate_task": "run_task",
    "sit": "run_task",
    "BATCH_TOKENS": "likelihood",
    "Score": "likelihood",
    "log_likelihoods": "likelihood",
    "Evaluation": "loss",
    "evaluate_loss": "loss",
    "score_replies": "reply_scores",
    "score_tasks": "reply_scores",
    "Request": "rows",
    "TASKS": "tasks",
    "TextResult": "text",
    "evaluate_text": "text",
    "windows": "text",
    "validation_split": "validation",
}

__all__ = [*_MODULES]
__getattr__ = on_first_use("groundup.evaluate", _MODULES)
