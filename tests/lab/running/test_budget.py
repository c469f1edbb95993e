from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest

from groundup.base.errors import DataError, UsageError
from groundup.lab.conclusions.statistics import paired_difference
from groundup.lab.running.budget import PLAIN_TEXT, budget_words, given_text, parse_budget
from groundup.lab.running.shortage import enough, smallest_in_spreads
from tests.lab.toy import EXPERIMENT

STUDY = EXPERIMENT.studies(1)[1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h", 3600), ("1.5h", 5400), ("2 min", 120), ("1d", 86400)],
)
def test_budgets_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1e3s", "0s", "nan", "1y", "99d", "1h30m"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected a time with its unit, such as 90s, 30m or 1h"):
        parse_budget(text)


def test_the_smallest_difference_is_that_of_the_verdict() -> None:
    values = np.random.default_rng(1).normal(size=7).tolist()
    found = paired_difference("a", "b", "loss", values, [0.0] * 7)
    expected = smallest_in_spreads(7, STUDY) * statistics.stdev(values)
    assert found.smallest_seen == pytest.approx(expected)


def test_a_budget_that_is_enough_is_one() -> None:
    for seconds in (0.5, 8.6, 80, 300, 4000):
        assert seconds < parse_budget(enough(seconds)) < 2 * seconds + 60


@pytest.mark.parametrize("seconds", [0.001, 90.0, 1234567.0, 2592000.0, 5400.5])
def test_a_budget_is_written_as_it_is_read(seconds: float) -> None:
    assert parse_budget(budget_words(seconds)) == seconds


TEXTS = {
    "story.txt": "The caf\u00e9 was shut. \n" * 2000,
    "rows.jsonl": '{"prompt": "a story", "completion": "is told"}\n' * 2000,
    "table.csv": "The first row is a sentence.\nSo is the second one and it is longer.\n" * 99,
    "code/main.py": "print()\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_other_verbs_have_options_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(TEXTS[name], encoding="latin-1")
    with pytest.raises(DataError) as raised:
        given_text(str(path if path.suffix != ".py" else path.parent))
    assert str(raised.value).endswith(f"; {PLAIN_TEXT}")
    assert " --" not in str(raised.value)
