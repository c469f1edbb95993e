"""The page of an experiment: whole, safe, and what it tells in the order of a reader."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

from groundup.lab.conclusions import differences
from groundup.lab.conclusions.facts import arm_words, facts
from groundup.lab.conclusions.page import experiment_page
from groundup.lab.experiment import (
    Arm,
    Concluded,
    ExperimentReport,
    Finding,
    Prediction,
    swept_setting,
)
from groundup.report.page import esc
from tests.lab.results import made_up
from tests.report.test_report import Outline

BASE, LIKE, LOWER = [2.5, 2.52, 2.48], [2.51, 2.51, 2.48], [2.39, 2.4, 2.37]
ADAMW = {"optimizer": "adamw", "schedule": "constant", "learning_rate": 0.003, "steps": 200}


def concluded(
    name: str = "study", came_out: bool | None = True, title: str = "A study"
) -> Concluded:
    results = made_up(
        {"layer norm": BASE, "<none>": LIKE, "RMS norm": LOWER},
        name=name,
        title=title,
        prediction=Prediction(says="it is lower & better", source="Xiong et al., 2020"),
        train=ADAMW,
    )
    finding = differences(results, "val_loss", "layer norm")
    return Concluded(results.study, replace(finding, came_out=came_out, notes=["lost <once>"]))


def report(*studies: Concluded) -> ExperimentReport:
    return ExperimentReport(
        name="norm",
        question="Does a norm help?",
        concluded=studies or [concluded()],
        machine="two cores",
        text="shakespeare, 1,100,000 characters",
        seconds=200.0,
        command=["groundup", "lab", "norm", "--text", "my text.txt"],
        folder=Path("lab/norm"),
        answered_by=("study", "two"),
    )


def test_a_page_is_whole_and_needs_nothing_from_outside() -> None:
    two = report(concluded("one", title="One"), concluded("two", title="Two"))
    page = Outline(experiment_page(two))
    ids = [named["id"] for _, named in page.tags if "id" in named]
    assert len(set(ids)) == len(ids)
    assert all(b <= a + 1 for a, b in itertools.pairwise(page.headings))
    links = {named[key] for _, named in page.tags for key in ("href", "src") if key in named}
    assert links == {"#main", "#one", "#two", "#repeat", "results.csv", "verdict.json"}


def test_the_verdict_stands_first_and_the_prediction_before_what_was_seen() -> None:
    one = concluded()
    seen = Outline(experiment_page(report(one))).text
    order = [
        "Does a norm help?",
        one.finding.verdict,
        "The prediction came out.",
        "two cores. Text: shakespeare, 1,100,000 characters. Measured in 3 min 20 s.",
        "Predicted before the first run: it is lower & better (Xiong et al., 2020)",
        one.finding.verdict,
        "lost <once>",
        "AdamW at a fixed rate of 0.003 after 20 steps of warm-up; 200 steps of 8 sequences",
        "groundup lab norm --text 'my text.txt'",
        "How to read differences",
    ]
    at = -1
    for words in order:
        assert (at := seen.find(words, at + 1)) >= 0, words


def test_whether_a_prediction_came_out_is_marked() -> None:
    for came_out, words in (
        (True, "as predicted"),
        (False, "not as predicted"),
        (None, "prediction left open"),
    ):
        page = experiment_page(report(concluded(came_out=came_out)))
        badges = re.findall(r'<span class="badge[^"]*">([^<]*)</span>', page)
        assert badges == [words]


def test_the_answer_is_of_the_studies_that_give_it() -> None:
    one, two, three = (concluded(name) for name in ("one", "two", "three"))
    last = Finding(
        verdict="Because. Predicted, but not so: that.", came_out=False, answer="Because."
    )
    two = two._replace(finding=last)
    assert report(one, two, three).verdict == "Because."
    assert report(two).verdict == "Because."
    assert report(one, three).verdict == f"{one.finding.verdict} {three.finding.verdict}"
    head, studies = experiment_page(report(one, two, three)).split('id="one"')
    assert head.count("Because.") == studies.count("Because.") == 1
    assert esc(one.finding.verdict) not in head
    assert esc(one.finding.verdict) in studies


def test_a_finding_of_words_alone_has_a_page() -> None:
    plain = Concluded(concluded().study, Finding(verdict="Nothing was seen.", came_out=None))
    page = Outline(experiment_page(report(plain)))
    assert "Nothing was seen." in page.text
    assert "To be read with care" not in page.text


def test_what_is_swept_and_what_arms_have_of_their_own_is_told() -> None:
    rates = tuple(10.0**-i for i in range(1, 5))
    arms = {name: dict.fromkeys(rates, BASE) for name in ("a", "b")}
    study = made_up(arms, x_name="learning rate", at=swept_setting("learning_rate")).study
    told = dict(facts(replace(study, train={**ADAMW, "warmup_steps": 0})))
    assert told["learning rate"] == "0.1, 0.01, 0.001, 0.0001"
    assert told["training"].startswith("AdamW at a fixed rate of 0.1, 0.01, 0.001, 0.0001; 200 st")
    arm = Arm(name="c", model={"norm": "none"}, train={"steps": 9})
    assert arm_words(arm) == "norm none, steps 9"
    assert arm_words(Arm(name="d")) == "as all have it in common"
    assert "NormalStart" in arm_words(Arm(name="e", start=NormalStart()))


class NormalStart:
    """A start that is called like a function."""

    def __call__(self, model: object) -> None:
        raise AssertionError

    def __repr__(self) -> str:
        return "NormalStart()"
