"""`groundup finetune instruct --objective grpo`, as a user would call it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Groundup
from tests.finetune.instructing import with_records, with_template
from tests.finetune.making_pairs import with_pairs

MAKE = [
    "finetune",
    "instruct",
    "base",
    "--records",
    "records.jsonl",
    "--run",
    "r",
    "--replies",
    "2",
]
SET: dict[str, float] = {
    "threads": 1,
    "sample_tokens": 2,
    "batch_size": 2,
    "group": 3,
    "max_tokens": 3,
}
SET |= {"kl": 0.1, "temperature": 0.9}
REWARD = ["--objective", "grpo", *(w for k, v in SET.items() for w in ("--set", f"{k}={v}"))]


@pytest.fixture
def here(groundup: Groundup) -> Groundup:
    """Calls a verb beside a base with a template, and records of each kind."""
    Path("runs").mkdir()
    with_template(Path("runs"))
    with_records(Path())
    with_pairs(Path())
    return groundup


def test_it_learns_from_rewards_is_judged_and_goes_on(here: Groundup) -> None:
    made = here(*MAKE, *REWARD, "--steps", "2")
    assert made.status == 0, made.err
    for part in (
        "Reward      1 where a reply is the answer and ends within 3 tokens, else 0; 3 replies to",
        "answers of more than max_tokens = 3",
        "of questions right",
        "tokens a reply",
        "Test        Held-out loss ",
        "of 2 test questions, chosen by hash",
    ):
        assert part in made.out, made.out
    manifest = tomllib.loads(Path("runs/r/run.toml").read_text())
    settings = manifest["job"]["settings"]
    assert {key: settings[key] for key in ("group", "max_tokens", "kl", "temperature")} == {
        key: SET[key] for key in ("group", "max_tokens", "kl", "temperature")
    }
    assert (settings["objective"], manifest["train"]["optimizer"]) == ("grpo", "adamw")
    assert "was finished already" in here(*MAKE, *REWARD, "--steps", "2").out
    other = here(*MAKE, *REWARD, "--steps", "2", "--set", "group=4")
    assert "group was 3, now 4" in other.error
    longer = here("resume", "r", "--extend", "3", "--json")
    assert longer.status == 0, longer.err
    found = json.loads(longer.out)
    assert found["step"] == 3
    assert found["test"]["padding"] is None
    assert "assistant (grpo)" in here("runs").out
    assert here("plan", "r").status == 0
    page = Path("runs/r/report.html").read_text()
    assert "wrong replies per question" in page
    assert "1 less the mean reward" in page
    assert "guessing" not in page


def test_losses_of_other_objectives_are_not_compared(here: Groundup) -> None:
    for name, words in (("r", ["--steps", "1", *REWARD]), ("s", ["--steps", "1", *REWARD[4:8]])):
        made = here(*MAKE[:-4], "--run", name, "--replies", "0", *words)
        assert made.status == 0, made.err
    told = here("compare", "r", "s")
    assert "several kinds (assistant by grpo, assistant by sft): their losses are of" in told.out
    kinds = {run["name"]: run["objective"] for run in json.loads(here("runs", "--json").out)}
    assert kinds == {"base": "", "r": "grpo", "s": "sft"}


REFUSED: list[tuple[list[str], str]] = [
    (["--set", "group=3"], "group = 3: a setting of objective = grpo alone; add --objective grpo"),
    (["--method", "grpo"], "what is learnt says --objective grpo"),
    (["--objective", "grpo", "--set", "group=1"], "group = 1: expected 2 or more"),
    (["--objective", "grpo", "--set", "kinds=sums"], "kinds = 'sums': expected one or more of ext"),
    (["--objective", "grpo", "--mix-text", "kjv"], "mix_text = 'kjv': expected nothing"),
    (["--objective", "grpo", "--set", "beta=0.3"], "beta = 0.3: counts where preferences are"),
    (["--objective", "grpo", "--set", "shard=on"], "shard = on with objective = grpo"),
    (["--objective", "grpo", "--set", "kinds=compare"], "kinds = compare: none of 48 dialogues"),
    (
        ["--objective", "grpo", "--set", "max_tokens=60"],
        "no question of 48 leaves room for a reply",
    ),
    (["--objective", "grpo", "--records", "pairs.jsonl"], "pairs.jsonl: "),
]


def test_what_it_cannot_do_is_said_in_a_line_and_no_run_is_begun(here: Groundup) -> None:
    for words, said in REFUSED:
        refused = here(*MAKE, "--steps", "1", *words)
        assert refused.status in (1, 2)
        assert said in refused.error, refused.error
        assert not Path("runs/r").exists()
    refused = here(*MAKE[:4], "pairs.jsonl", "--objective", "grpo", "--steps", "1")
    assert "learns from questions with one right answer each, but pairs.jsonl" in refused.error
