"""How often replies are the answer to their question, by kinds and on the average of kinds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from groundup.data.tasks import Task, is_right
from groundup.evaluate.answers import token_f1
from groundup.evaluate.intervals import wilson
from groundup.runs.reply_figures import KindFigures, ReplyFigures


def score_tasks(tasks: Sequence[Task], replies: Sequence[str]) -> ReplyFigures:
    """Return the figures of one reply to each task; see `score_replies`."""
    return score_replies(
        [task.answer for task in tasks], replies, kinds=[task.kind for task in tasks]
    )


def score_replies(
    answers: Sequence[str], replies: Sequence[str], kinds: Sequence[str] | None = None
) -> ReplyFigures:
    """Return the figures of one reply to each question, given its answer and its kind.

    Exact match is the share of replies for which `is_right` holds, with Wilson's interval; token F1
    is the mean of `token_f1`. The figures of all are the means of those of the kinds (macro
    averages). Without `kinds`, all are of one kind, "".
    Kinds come in the order of their first question. Raises `ValueError` where the numbers of
    answers, replies and kinds differ, or are 0.
    """
    named = [""] * len(answers) if kinds is None else kinds
    if not answers or not len(answers) == len(replies) == len(named):
        raise ValueError(
            f"{len(answers)} answers, {len(replies)} replies, {len(named)} kinds: expected as many "
            "of each, one at least"
        )
    pairs: dict[str, list[tuple[str, str]]] = {}
    for kind, answer, reply in zip(named, answers, replies, strict=True):
        pairs.setdefault(kind, []).append((answer, reply))
    return _together([_kind_figures(kind, of_kind) for kind, of_kind in pairs.items()])


def _kind_figures(kind: str, pairs: Sequence[tuple[str, str]]) -> KindFigures:
    n, right = len(pairs), sum(is_right(answer, reply, kind) for answer, reply in pairs)
    shared = math.fsum(token_f1(answer, reply) for answer, reply in pairs)
    return KindFigures(
        kind=kind,
        questions=n,
        right=right,
        exact=right / n,
        exact_interval=wilson(right, n),
        token_f1=shared / n,
        token_f1_interval=wilson(shared, n),
    )


def _together(kinds: Sequence[KindFigures]) -> ReplyFigures:
    """Return the means, with the interval of a share of as many questions as count fully.

    The mean of k shares of n questions each varies at most as much as one share of k n questions,
    since p (1 - p) is concave. So the interval is rather too wide, more so where kinds differ in
    size, as the smallest stands for all.
    """
    n = len(kinds) * min(kind.questions for kind in kinds)
    exact = math.fsum(kind.exact for kind in kinds) / len(kinds)
    f1 = math.fsum(kind.token_f1 for kind in kinds) / len(kinds)
    return ReplyFigures(
        questions=sum(kind.questions for kind in kinds),
        right=sum(kind.right for kind in kinds),
        exact=exact,
        exact_interval=wilson(exact * n, n),
        token_f1=f1,
        token_f1_interval=wilson(f1 * n, n),
        kinds=tuple(kinds),
    )
