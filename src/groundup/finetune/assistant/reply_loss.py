"""How well a run that is an assistant expects the replies of the dialogues that validate it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from groundup.base.errors import RunError
from groundup.data.dialogue import Dialogue, PlainText
from groundup.data.dialogue_folder import open_dialogues
from groundup.evaluate.loss import exp
from groundup.finetune.assistant.dialogue_rows import learnable
from groundup.finetune.assistant.packed_loss import packed_loss
from groundup.generate import run_template
from groundup.runs.load import LoadedRun
from groundup.runs.own import shards_of


@dataclass(frozen=True, kw_only=True)
class ReplyLoss:
    """What a model's predictions of replies were worth; of prompts nothing is predicted."""

    loss: float
    """Mean cross entropy of a token of the replies, in nats."""
    perplexity: float
    tokens: int
    """Of the replies."""
    seconds: float


def evaluate_replies(run: LoadedRun, max_tokens: int | None = None) -> ReplyLoss | None:
    """Predict the replies that validate an assistant; None where it has none.

    With `max_tokens`, dialogues of at most so many tokens are read, the same ones each time. Raises
    `DataError` where the folder of its dialogues is gone or damaged.
    """
    begun = time.perf_counter()
    template, (max_length, row_length) = run_template(run), _lengths(run)
    if template is None or (folder := shards_of(run.manifest)) is None:
        return None
    data = open_dialogues(folder)
    entries: list[Dialogue | PlainText] = [*data.dialogues("val"), *data.texts("val")]
    entries.sort(key=lambda entry: entry.normalised)
    rows = learnable(entries, template, run.tokenizer, max_length).rows
    if not rows:
        return None
    loss, n_tokens = packed_loss(run.model, rows, row_length, max_tokens)
    return ReplyLoss(
        loss=loss, perplexity=exp(loss), tokens=n_tokens, seconds=time.perf_counter() - begun
    )


def _lengths(run: LoadedRun) -> tuple[int, int]:
    """Return how many tokens of a dialogue are read, and how many a row of several has."""
    job = run.manifest.job
    settings = (job and job.settings) or {}
    max_length, row_length = settings.get("max_length"), settings.get("row_length")
    if isinstance(max_length, int) and isinstance(row_length, int) and row_length > 0:
        return max_length, row_length
    raise RunError(
        "the run is an assistant, but settings.max_length and row_length in [job] of its run.toml "
        "are gone; restore the file"
    )
