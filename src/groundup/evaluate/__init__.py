"""What a model is worth: on a text, and in the public tasks."""

from groundup.evaluate.candidate import Candidate
from groundup.evaluate.documents import read_questions
from groundup.evaluate.exam import TaskResult, sit
from groundup.evaluate.likelihood import Score, log_likelihoods
from groundup.evaluate.loss import Evaluation, Helpers, evaluate_loss
from groundup.evaluate.rows import Request
from groundup.evaluate.tasks import TASKS
from groundup.evaluate.text import TextResult, evaluate_text

__all__ = [
    "TASKS",
    "Candidate",
    "Evaluation",
    "Helpers",
    "Request",
    "Score",
    "TaskResult",
    "TextResult",
    "evaluate_loss",
    "evaluate_text",
    "log_likelihoods",
    "read_questions",
    "sit",
]
