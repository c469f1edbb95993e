"""From log-likelihoods to a task's figures: accuracy, perplexity, and their standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from groundup.evaluate.likelihood import Score
from groundup.evaluate.loss import exp
from groundup.evaluate.tasks import Question

Values = Sequence[float]


def argmax(values: Values) -> int:
    """Return the index of the largest value, the first of equals; NaN is above all."""
    return max(range(len(values)), key=lambda i: (math.isnan(values[i]), values[i]))


def metric_values(question: Question, scores: Sequence[Score]) -> dict[str, float]:
    """Return the value of each metric for one question, given the scores of its choices."""
    likelihoods = [score.log_likelihood for score in scores]
    if len(scores) == 1:
        return {"acc": float(scores[0].greedy), "perplexity": likelihoods[0]}
    per_character = [
        value / length if length else -math.inf
        for value, length in zip(likelihoods, question.lengths, strict=True)
    ]
    return {
        "acc": float(argmax(likelihoods) == question.gold),
        "acc_norm": float(argmax(per_character) == question.gold),
    }


def mean(values: Values) -> float:
    """Return the mean."""
    return math.fsum(values) / len(values)


def mean_error(values: Values) -> float:
    """Return the standard error of the mean, by the sample's variance (divided by n - 1)."""
    n, middle = len(values), mean(values)
    if n < 2:
        return math.nan
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (n - 1) / n)


def perplexity(values: Values) -> float:
    """Return exp of minus the mean log-likelihood of a document's target."""
    return exp(-mean(values))


def perplexity_error(values: Values) -> float:
    """Return the standard deviation of the perplexity over all bootstrap samples.

    The harness draws samples of n documents with replacement; what it estimates has a closed form,
    as the documents of a sample are independent: E[exp(-t * mean)] = (mean of exp(-t * x / n))^n.
    """
    n, middle = len(values), mean(values)
    once, twice = (
        n * math.log(mean([math.exp(-t * (v - middle) / n) for v in values])) for t in (1, 2)
    )
    return exp(once - middle) * math.sqrt(max(0.0, math.expm1(twice - 2 * once)))


METRICS: dict[str, tuple[Callable[[Values], float], Callable[[Values], float]]] = {
    "acc": (mean, mean_error),
    "acc_norm": (mean, mean_error),
    "perplexity": (perplexity, perplexity_error),
}
"""How the values of all documents become a figure, and its standard error."""
