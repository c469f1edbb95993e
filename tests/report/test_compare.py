"""Runs side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import RunError, UsageError
from groundup.report.compare import Difference, compare_runs, write_comparison

MakeRun = Callable[..., Path]


def test_differing_keys_left_and_right(make_run: MakeRun) -> None:
    a = make_run("a")
    b = make_run("b", steps=1500, train={"minutes": 5.0}, machine={"cores": 4})
    found = compare_runs(a, b).differences
    assert found == (
        Difference("train.steps", (2000, 1500)),
        Difference("train.minutes", (None, 5.0)),
        Difference("machine.cores", (2, 4)),
    )


def test_outcomes(make_run: MakeRun) -> None:
    a, b = compare_runs(make_run("a"), make_run("b", floor=2.5, steps=100)).outcomes
    assert (a.name, a.state, a.parameters, a.step) == ("a", "finished", 3_713_536, 2000)
    assert a.tokens == 2000 * 2048
    assert a.seconds == pytest.approx(236)
    assert b.final_val_loss == pytest.approx(2.82)
    assert b.final_bits_per_byte == 1.452
    assert a.best_val_loss is not None
    assert b.best_val_loss is not None
    assert b.best_val_loss < a.best_val_loss


def test_as_dict_is_plain_json(make_run: MakeRun) -> None:
    lines = [{"step": 1, "train_loss": "nan"}, {"step": 2, "train_loss": 3.0}]
    comparison = compare_runs(make_run("a"), make_run("b", lines=lines, finished=False))
    content = json.loads(json.dumps(comparison.as_dict(), allow_nan=False))
    assert content["curves"][1]["train_loss"] == [[2.0, 3.0]]
    assert len(content["curves"][0]["train_loss"]) == 1000
    assert content["outcomes"][1]["best_val_loss"] is None
    assert content["same_losses"] is True


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"tokenizer": "bytes", "vocab_size": 257, "fingerprint": "x"}, "different tokens"),
        ({"sources": ["kjv"], "val_bytes": 7, "fingerprint": "x"}, "different texts"),
    ],
)
def test_losses_that_do_not_compare(
    make_run: MakeRun, tmp_path: Path, data: dict[str, Any], words: str
) -> None:
    runs = [make_run("a"), make_run("b", data=data)]
    comparison = compare_runs(*runs)
    assert not comparison.same_losses
    assert words in comparison.notes[0]
    assert "bits per byte" in comparison.notes[0].lower()
    page = write_comparison(runs, tmp_path / "out.html").read_text()
    assert words in page
    assert "Bits per byte over tokens" in page
    assert "Validation loss over" not in page


def test_the_page_overlays_several_runs(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run("one"), make_run("two", steps=100), make_run("<b>three", lines=[])]
    out = write_comparison(runs, tmp_path / "pages" / "compare.html")
    page = out.read_text()
    assert page.count("<figure") == 2
    assert "<b>three" not in page
    figure = re.findall(r"<figure.*?</figure>", page, re.DOTALL)[0]
    assert 'class="c0 d0"' in figure
    assert 'class="c1 d1"' in figure
    assert "<title" in figure
    assert "<desc" in figure
    assert "<table" in figure
    assert "train.steps" in page
    assert "://" not in page
    assert "src=" not in page


def test_runs_of_one_name_are_told_apart(make_run: MakeRun) -> None:
    a, b = make_run("here/same"), make_run("there/same")
    names = [outcome.name for outcome in compare_runs(a, b).outcomes]
    assert names == [str(a), str(b)]


def test_equal_runs_differ_in_nothing(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run("a"), make_run("b")]
    assert compare_runs(*runs).differences == ()
    assert "Nothing: the same settings" in write_comparison(runs, tmp_path / "x.html").read_text()


def test_what_cannot_be_compared(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("a")
    with pytest.raises(UsageError, match="two or more runs"):
        write_comparison([run], tmp_path / "x.html")
    with pytest.raises(RunError, match="not a run folder"):
        compare_runs(run, tmp_path / "absent")


CLASSIFIER = {"job": {"kind": "classifier", "labels": ["a", "b"]}}


def of_texts(make_run: MakeRun, name: str, **changes: Any) -> Path:
    """A classifier, which measures no bits per byte."""
    lines = [{"step": step, "tokens": 9 * step, "val_loss": 1 / (1 + step)} for step in range(3)]
    return make_run(name, lines=lines, finished=False, **CLASSIFIER, **changes)


def test_a_loss_per_text_and_one_per_token(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run("a"), of_texts(make_run, "c")]
    comparison = compare_runs(*runs)
    assert [outcome.kind for outcome in comparison.outcomes] == ["pretraining", "classifier"]
    (note,) = comparison.notes
    assert "(classifier, pretraining): their losses are of different things" in note
    page = write_comparison(runs, tmp_path / "out.html").read_text()
    assert page.count("of different things") == 1
    assert "No bits per byte: c." in page


def test_classifiers_of_different_records_have_no_curve_to_compare(
    make_run: MakeRun, tmp_path: Path
) -> None:
    runs = [of_texts(make_run, "c"), of_texts(make_run, "d", data={"fingerprint": "x"})]
    page = write_comparison(runs, tmp_path / "out.html").read_text()
    assert "learnt from different records" in page
    assert "bits per byte they have none" in page
    assert "No figures yet" not in page
