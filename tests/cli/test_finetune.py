"""`groundup finetune classify` and `groundup classify`, as a user would call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Groundup
from tests.finetune.making import with_base, with_records

QUICK = [word for pair in ("threads=1", "learning_rate=0.01") for word in ("--set", pair)]
MAKE = ["finetune", "classify", "base", "--records", "records.csv", "--run", "c", *QUICK]


@pytest.fixture
def here(groundup: Groundup) -> Groundup:
    """Calls a verb beside a base in runs/ and records."""
    Path("runs").mkdir()
    with_base(Path("runs"))
    with_records(Path())
    return groundup


def test_a_classifier_is_made_shown_asked_and_gone_on_with(here: Groundup) -> None:
    made = here(*MAKE, "--epochs", "8")
    assert made.status == 0, made.err
    for part in (
        "Records     160 to learn from, 20 to validate, 20 to test",
        "Labels      a 107, b 53",
        "the text is the field 'text', the label 'label'",
        "accuracy",
        "macro F1",
        "the majority class",
        "TF-IDF with logistic regression",
        "groundup classify runs/c",
    ):
        assert part in made.out, made.out
    one = here("classify", "c", "aaaaaaaaaa")
    assert one.out.startswith(("a         a 9", "a         a >99.9%, b <0.1%")), one.out
    rows = json.loads(here("classify", "c", "aaaaaaaaaa", "bbbbbbbbbb" * 9, "--json").out)
    assert [row["label"] for row in rows] == ["a", "b"]
    assert [row["cut"] for row in rows] == [False, True]
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1)
    piped = here("classify", "c", "-", stdin="aaaaaaaaaa\n\nbbbbbbbbbb\n").out.splitlines()
    assert [line.split()[0] for line in piped] == ["label", "a", "b"]
    of_file = json.loads(here("classify", "c", "--file", "records.csv", "--json").out)
    assert len(of_file) == 200
    assert of_file[0]["where"].startswith("records.csv, ")
    again = here(*MAKE, "--epochs", "8")
    assert "was finished already" in again.out
    longer = here("resume", "c", "--extend", "90")
    assert longer.status == 0, longer.err
    assert json.loads(Path("runs/c/classification.json").read_text())["step"] <= 90


def test_a_text_that_is_cut_is_told(here: Groundup) -> None:
    assert here(*MAKE, "--steps", "2", "--layers", "head", "--max-length", "8").status == 0
    told = here("classify", "c", "aaaaaaaaaaaaaaaa")
    assert "1 of 1 texts are longer than the 8 tokens that this classifier reads" in told.err
    Path("hello").write_text("a file of this name")
    assert "--file hello reads the file of this name" in here("classify", "c", "hello").err


def test_named_records_tell_what_the_base_has_read(
    here: Groundup, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from groundup.runs import RunFolder

    folder = RunFolder(Path("runs/base"))
    manifest = folder.read()
    folder.write(replace(manifest, data=replace(manifest.data, sources=["kjv"])))
    make = ["finetune", "classify", "base", "--records", "testaments", "--steps", "1"]
    done = here(*make, "--pooling", "mean", "--layers", "last", *QUICK)
    assert done.status == 0, done.err
    assert "runs/base has learnt from kjv already" in " ".join(done.out.split())
    assert "by group" in done.out
