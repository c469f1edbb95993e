"""A whole task against a plain loop; stopped anywhere, it goes on to the same figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from groundup.base.errors import DataError, UsageError
from groundup.evaluate import Candidate, TaskResult, evaluate_task
from groundup.evaluate.tasks import Question
from groundup.model import GPT
from tests.evaluate.plain import BYTES, plain_request, plain_score
from tests.model.helpers import FAMILIES, random_gpt
from tests.texts import sentences


@pytest.fixture
def candidate() -> Candidate:
    config = FAMILIES["llama"] | {"vocab_size": 257, "context_length": 120}
    return Candidate(random_gpt(**config), BYTES)


def questions(count: int = 24) -> list[Question]:
    lines = sentences(4 * count).splitlines()
    made = []
    for n in range(count):
        ends = enumerate(lines[4 * n : 4 * n + 2 + n % 3])
        answers = [f"{end.split()[-1]} {'again ' * i}({i})" for i, end in ends]
        context = "Question: " + " ".join(lines[4 * n].split()[:-1])
        pairs = [(context, f" {answer}") for answer in answers]
        made.append(Question(pairs, n % len(answers), [len(answer) for answer in answers]))
    return made


def figures(result: TaskResult) -> tuple[dict[str, float], dict[str, float]]:
    return result.scores, result.errors


def test_figures_are_those_of_a_plain_loop(candidate: Candidate) -> None:
    asked = questions()
    right, right_by_length = [], []
    for question in asked:
        pairs = [plain_request(BYTES, *pair) for pair in question.pairs]
        values = np.array([plain_score(candidate.model, r).log_likelihood for r in pairs])
        right.append(float(values.argmax() == question.gold))
        right_by_length.append(float((values / question.lengths).argmax() == question.gold))
    result = evaluate_task(candidate, "arc_easy", asked)
    assert result.scores == {"acc": np.mean(right), "acc_norm": np.mean(right_by_length)}
    assert 0 < result.scores["acc"] < 1
    error = np.std(right, ddof=1) / np.sqrt(len(asked))
    assert result.errors["acc"] == pytest.approx(error)
    assert (result.documents, result.asked, result.task) == (24, 24, "arc_easy")
    assert set(evaluate_task(candidate, "winogrande", asked).scores) == {"acc"}


def test_single_continuations_give_accuracy_and_perplexity(candidate: Candidate) -> None:
    asked = [replace(q, pairs=q.pairs[:1], lengths=q.lengths[:1], gold=0) for q in questions(6)]
    pairs = [plain_request(BYTES, *q.pairs[0]) for q in asked]
    mean = np.mean([plain_score(candidate.model, r).log_likelihood for r in pairs])
    result = evaluate_task(candidate, "lambada", asked)
    assert result.scores["perplexity"] == pytest.approx(np.exp(-mean), rel=1e-4)
    assert result.scores["acc"] == 0.0


def test_stopped_anywhere_it_goes_on_to_the_same_figures(
    candidate: Candidate, tmp_path: Path
) -> None:
    whole = evaluate_task(
        candidate, "arc_easy", questions(), batch_tokens=200, journal=tmp_path / "whole"
    )
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    for kept in (b"", lines[0], b"".join(lines[:9]), b"".join(lines[:13])[:-20], b"".join(lines)):
        path = tmp_path / "part"
        path.write_bytes(kept)
        again = evaluate_task(candidate, "arc_easy", questions(), batch_tokens=200, journal=path)
        assert figures(again) == figures(whole)
        records = [json.loads(line) for line in path.read_bytes().splitlines() if _whole(line)]
        found = {r["document"]: r for r in records if "document" in r}
        assert found == {r["document"]: r for r in map(json.loads, lines) if "document" in r}
    assert again.asked == 0


def _whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_an_interruption_loses_only_the_batch_it_falls_into(
    candidate: Candidate, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 3:
            raise KeyboardInterrupt

    path = tmp_path / "journal.jsonl"
    with pytest.raises(KeyboardInterrupt):
        evaluate_task(candidate, "piqa", questions(), batch_tokens=200, journal=path, progress=stop)
    told.clear()
    result = evaluate_task(
        candidate,
        "piqa",
        questions(),
        batch_tokens=200,
        journal=path,
        progress=lambda done, total: told.append((done, total)),
    )
    assert 0 < result.asked < result.documents
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1]


def test_other_models_questions_and_settings_are_not_confused(
    candidate: Candidate, tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl"
    other = GPT(candidate.model.config).eval()
    with torch.no_grad():
        for mine, theirs in zip(other.parameters(), candidate.model.parameters(), strict=True):
            mine.copy_(theirs)
    assert evaluate_task(candidate, "piqa", questions(), journal=path).asked == 24
    assert evaluate_task(Candidate(other, BYTES), "piqa", questions(), journal=path).asked == 0
    assert evaluate_task(candidate, "arc_easy", questions(), journal=path).asked == 24
    assert evaluate_task(candidate, "piqa", questions()[:9], journal=path).asked == 9
    assert evaluate_task(candidate, "piqa", questions(), journal=path, batch_tokens=99).asked == 24
    assert (
        evaluate_task(replace(candidate, start=[256]), "piqa", questions(), journal=path).asked
        == 24
    )
    with torch.no_grad():
        other.get_parameter("final_norm.weight")[0] += 1
    assert evaluate_task(Candidate(other, BYTES), "piqa", questions(), journal=path).asked == 24
    assert evaluate_task(candidate, "piqa", questions(), journal=path).asked == 0


def test_a_document_that_cannot_be_asked_is_named(candidate: Candidate) -> None:
    long = Question([("context", " " + 130 * "x"), ("context", " y")], 0, [130, 1])
    with pytest.raises(DataError, match=r"^document 25: a continuation of 131 tokens: expected 1"):
        evaluate_task(candidate, "piqa", [*questions(), long])
    with pytest.raises(DataError, match=r"^here: a context without tokens"):
        evaluate_task(candidate, "lambada", [Question([("", " word")], 0, [4])], labels=["here"])
    with pytest.raises(DataError, match="no questions; give one document or more"):
        evaluate_task(candidate, "piqa", [])


def test_candidates_that_do_not_fit_are_refused(candidate: Candidate) -> None:
    small = random_gpt(**FAMILIES["llama"])
    with pytest.raises(UsageError, match="the tokenizer has 257 tokens, but the model was made"):
        Candidate(small, BYTES)
    for start in (257, -1, "a", True):
        with pytest.raises(UsageError, match="expected a token id from 0 to 256"):
            Candidate(candidate.model, BYTES, [start])  # type: ignore[list-item]
