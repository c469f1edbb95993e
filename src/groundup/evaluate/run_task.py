"""Evaluate a model on a task; finished documents are kept on disk, so that a stop loses nothing."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groundup.base.errors import DataError
from groundup.evaluate.candidate import Candidate
from groundup.evaluate.journal import Journal
from groundup.evaluate.likelihood import BATCH_TOKENS, Score, batches, score_rows
from groundup.evaluate.loss import OnProgress, silent
from groundup.evaluate.rows import Row, rows_of
from groundup.evaluate.scores import METRICS, argmax, metric_values
from groundup.evaluate.tasks import Question, encode_pair, task_named
from groundup.model import GPT
from groundup.tokenizer import Tokenizer

FORMAT = 1
"""Version of what the journal keeps of a document."""


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """The figures of a model in a task."""

    task: str
    documents: int
    scores: dict[str, float]
    """Figure by metric; shares lie between 0 and 1."""
    errors: dict[str, float]
    """Standard error of each figure."""
    asked: int
    """Documents asked now; the others were finished before."""
    seconds: float
    """Time taken now."""


def evaluate_task(
    candidate: Candidate,
    name: str,
    questions: Sequence[Question],
    *,
    labels: Sequence[str] | None = None,
    journal: Path | None = None,
    batch_tokens: int = BATCH_TOKENS,
    progress: OnProgress = silent,
) -> TaskResult:
    """Score the model on the `questions` of the task `name`; the longest are read first.

    With `journal`, a file of JSON lines, finished documents are kept there, and the same call goes
    on after them: the result is the same to the bit, as batches never depend on what was done.
    `labels` say in errors where a document stands. Raises `DataError` for a question that does
    not fit the model.
    """
    begun = time.perf_counter()
    metrics = task_named(name).metrics
    how: dict[str, Any] = {"labels": labels, "journal": journal, "batch_tokens": batch_tokens}
    found, asked = score_documents(candidate, name, questions, progress=progress, **how)
    columns = {metric: [record[metric] for record in found] for metric in metrics}
    return TaskResult(
        task=name,
        documents=len(questions),
        scores={metric: METRICS[metric][0](values) for metric, values in columns.items()},
        errors={metric: METRICS[metric][1](values) for metric, values in columns.items()},
        asked=asked,
        seconds=time.perf_counter() - begun,
    )


sit = evaluate_task
"""The former name of `evaluate_task`."""


def score_documents(
    candidate: Candidate,
    name: str,
    questions: Sequence[Question],
    *,
    labels: Sequence[str] | None = None,
    journal: Path | None = None,
    batch_tokens: int = BATCH_TOKENS,
    progress: OnProgress = silent,
) -> tuple[list[dict[str, Any]], int]:
    """Return what was found of each document, and how many were asked now; see `evaluate_task`.

    Of a document it is what the journal keeps: the log-likelihoods, and the value of each metric.
    """
    model, start = candidate.model, candidate.start
    length = model.config.context_length
    documents = tokenized(candidate.tokenizer, length, questions, labels, start)
    settings = _journal_settings(candidate, name, questions, batch_tokens) if journal else {}
    kept = Journal(journal, settings)
    total = sum(len(row) for rows in documents for row in rows)
    done = asked = 0
    for batch in batches(documents, batch_tokens):
        if not all(i in kept.finished for i in batch):
            kept.add(_scored(model, questions, documents, batch))
            asked += len(batch)
        done += sum(len(row) for i in batch for row in documents[i])
        progress(done, total)
    return [kept.finished[i] for i in range(len(questions))], asked


def tokenized(
    tokenizer: Tokenizer,
    context_length: int,
    questions: Sequence[Question],
    labels: Sequence[str] | None = None,
    start: Sequence[int] = (),
) -> list[list[Row]]:
    """Return each question's rows of tokens; a `DataError` names one that does not fit a model."""
    if not questions:
        raise DataError("no questions; give one document or more")
    labels = labels or [f"document {i + 1}" for i in range(len(questions))]
    documents = []
    for label, question in zip(labels, questions, strict=True):
        try:
            requests = [
                encode_pair(tokenizer, context, continuation, start)
                for context, continuation in question.pairs
            ]
            documents.append(rows_of(requests, context_length))
        except DataError as error:
            raise DataError(f"{label}: {error}") from error
    return documents


def _scored(
    model: GPT, questions: Sequence[Question], documents: Sequence[list[Row]], batch: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Return the journal's record of each document of a batch, by its number."""
    rows = [row for i in batch for row in documents[i]]
    scored = iter(score_rows(model, rows))
    found = {}
    for i in batch:
        scores = [score for _ in documents[i] for score in next(scored)]
        found[i] = _record(questions[i], scores)
    return found


def _record(question: Question, scores: list[Score]) -> dict[str, Any]:
    likelihoods = [score.log_likelihood for score in scores]
    return {
        "log_likelihoods": likelihoods,
        "greedy": [score.greedy for score in scores],
        "chosen": argmax(likelihoods),
        "gold": question.gold,
        **metric_values(question, scores),
    }


def _journal_settings(
    candidate: Candidate, name: str, questions: Sequence[Question], batch_tokens: int
) -> dict[str, Any]:
    """Return everything that a document's scores depend on; its hash is the journal's key."""
    asked = hashlib.sha256(json.dumps([asdict(question) for question in questions]).encode())
    return {
        "format": FORMAT,
        "task": name,
        "documents": len(questions),
        "documents_sha256": asked.hexdigest(),
        "model_sha256": candidate.fingerprint,
        "batch_tokens": batch_tokens,
        "device": candidate.model.device.type,
    }
