"""`groundup finetune instruct` on preferences, as a user would call it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Groundup
from tests.finetune.making_pairs import with_base, with_pairs

QUICK = [word for pair in ("threads=1", "learning_rate=0.003") for word in ("--set", pair)]
MAKE = ["finetune", "instruct", "base", "--records", "pairs.jsonl", "--run", "p", *QUICK]


def test_preferences_are_found_learnt_shown_and_gone_on_with(groundup: Groundup) -> None:
    Path("runs").mkdir()
    with_base(Path("runs"))
    with_pairs(Path())
    refused = groundup(*MAKE, "--method", "dpo")
    assert refused.status == 2
    assert "--objective dpo" in refused.error
    assert "full, lora, dora" in refused.error
    assert groundup(*MAKE, "--objective", "ppo").status == 2
    made = groundup(*MAKE, "--steps", "2")
    assert made.status == 0, made.err
    for part in (
        "preferences; in the order of SHA-256",
        "Objective   dpo, beta 0.1: of preferences",
        "Dropout     0, as two replies are compared; 0.1 in the base",
        "Reference   log-probabilities of the replies of 45 pairs, read now",
        "validation 0.6931",
        "of pairs right, margin ",
        "nats, rejected ",
    ):
        assert part in made.out, made.out
    assert "was finished already" in groundup(*MAKE, "--steps", "2").out
    refused = groundup(*MAKE, "--steps", "2", "--objective", "orpo")
    assert "objective was auto, now orpo" in refused.error
    longer = groundup("resume", "p", "--extend", "3", "--json")
    assert longer.status == 0, longer.err
    assert json.loads(longer.out)["step"] == 3
