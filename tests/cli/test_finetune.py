"""`groundup finetune classify` and `groundup classify`, as a user would call them."""

from __future__ import annotations

import json
import shutil
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


@pytest.fixture
def classifier(here: Groundup, once: Path) -> Groundup:
    """Calls a verb beside the classifier runs/c, which is made once."""
    kept = once / "runs"
    if not kept.exists():
        assert here(*MAKE, "--steps", "2", "--layers", "head").status == 0
        shutil.copytree("runs", kept)
    shutil.copytree(kept, "runs", dirs_exist_ok=True)
    return here


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classifier")


def test_a_classifier_is_made_shown_asked_and_gone_on_with(here: Groundup) -> None:
    made = here(*MAKE, "--epochs", "8")
    assert made.status == 0, made.err
    for part in (
        "Records     160 to learn from, 20 to validate, 20 to test",
        "Labels      a 107, b 53 (to learn from)",
        "Pooling     ",
        " tokens/s",
        "the text is the field 'text', the label 'label'",
        "accuracy",
        "macro F1",
        "the majority class",
        "TF-IDF with logistic regression",
        "groundup classify runs/c",
    ):
        assert part in made.out, made.out
    assert "No samples yet" not in Path("runs/c/report.html").read_text()
    one = here("classify", "c", "aaaaaaaaaa")
    assert one.out.startswith(("a         a 9", "a         a >99.9%, b <0.1%")), one.out
    rows = json.loads(here("classify", "c", "aaaaaaaaaa", "bbbbbbbbbb" * 9, "--json").out)
    assert [row["label"] for row in rows] == ["a", "b"]
    assert [row["cut"] for row in rows] == [False, True]
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1)
    piped = here("classify", "c", "-", stdin="aaaaaaaaaa\n\nbbbbbbbbbb\n").out.splitlines()
    assert [line.split()[0] for line in piped] == ["label", "a", "b"]
    asked = here("classify", "c", "--file", "records.csv", "--json")
    assert "the text is the field 'text'" in asked.err  # as it was guessed
    of_file = json.loads(asked.out)
    assert len(of_file) == 200
    assert of_file[0]["where"].startswith("records.csv, ")
    again = here(*MAKE, "--epochs", "8")
    assert "was finished already" in again.out
    longer = json.loads(here("resume", "c", "--extend", "90", "--json").out)
    assert (longer["step"], longer["test"]["examples"]) == (90, 20)
    assert json.loads(Path("runs/c/classification.json").read_text())["step"] <= 90


def test_a_text_that_is_cut_is_told(here: Groundup) -> None:
    made = here(*MAKE, "--steps", "2", "--layers", "head", "--max-length", "8")
    assert made.status == 0
    assert "tokens/s" not in made.out, "a head on known vectors computes no tokens"
    assert "Tokens per second" not in Path("runs/c/report.html").read_text()
    told = here("classify", "c", "aaaaaaaaaaaaaaaa")
    assert "1 of 1 texts are longer than the 8 tokens that this classifier reads" in told.err
    Path("hello").write_text("a file of this name")
    assert "--file hello reads the file of this name" in here("classify", "c", "hello").err
    assert here("classify", "c", "🙂" * 200).status == 0  # no name of a file may be as long
    lines = "a\x0bb\u2028c\x0cd\n\nb\r\n"  # of which only a newline ends one
    Path("lines.txt").write_text(lines, newline="")
    found = [
        [
            row["text"]
            for row in json.loads(here("classify", "c", *words, "--json", stdin=lines).out)
        ]
        for words in (("-",), ("--file", "lines.txt"))
    ]
    assert found == [["a\x0bb\u2028c\x0cd", "b"]] * 2


def test_what_is_left_out_of_a_file_is_told(
    here: Groundup, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here(*MAKE, "--steps", "2", "--layers", "head").status == 0
    monkeypatch.setattr("groundup.cli.classify.AT_ONCE", 1)
    assert here("classify", "c", "a", "b\udcff").error.startswith("text 2: ")
    assert "skipped empty lines: 2" in here("classify", "c", "-", stdin="a\n\n \nb\n").err
    assert (
        "nothing but empty lines" in here("classify", "c", "-", stdin="\n\n").err.splitlines()[-1]
    )
    assert here("classify", "c", "-", stdin="").status == 2
    Path("in.jsonl").write_text('{"text": "a"}\n{"text": 3}\n{"text": null}\n{"text": "b"}\n')
    assert "--on-bad-record skip" in here("classify", "c", "--file", "in.jsonl").error
    some = here("classify", "c", "--file", "in.jsonl", "--on-bad-record", "skip")
    assert len(some.out.splitlines()) == 3
    assert "skipped records" in some.err
    assert "leave out one of the two" in here(*MAKE, "--steps", "2", "--epochs", "1").error


def test_decisions_are_shown_as_they_come(here: Groundup, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here(*MAKE, "--steps", "2", "--layers", "head").status == 0
    monkeypatch.setattr("groundup.cli.classify.AT_ONCE", 2)
    asked = ("classify", "c", "a", "\u5b57" * 60, "--file", "lines.txt")
    Path("lines.txt").write_text("abba\nb\nab\n")
    table = here(*asked)
    assert "1 of 5 texts are longer" in table.error
    rows = table.out.splitlines()
    assert rows[0].split() == ["label", "probability", "text"]
    assert [row.split()[2] for row in rows[1:]] == ["a", "\u5b57" * 60, "abba", "b", "ab"]
    assert {row.index(row.split()[2], 5) for row in rows} == {rows[0].index("text")}
    assert [row["text"] for row in json.loads(here(*asked, "--json").out)][2:] == [
        "abba",
        "b",
        "ab",
    ]
    Path("in.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n{"text": 3}\n')
    cut = here("classify", "c", "--file", "in.jsonl")
    assert "in.jsonl, line 3" in cut.error
    assert len(cut.out.splitlines()) == 3, "what was decided before is shown"
    lost = here("classify", "c", "--file", "in.jsonl", "--file", "nowhere.txt")
    assert "nowhere.txt" in lost.error
    assert lost.out == "", "files are looked for first"
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as at a terminal
    assert "Texts 3 to 4" in here(*asked).err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("chats.jsonl", b'{"messages": [{"role": "user", "content": "hi you"}]}\n', "are chats"),
        ("pairs.jsonl", b'{"chosen": "a text", "rejected": "another"}\n', "are preferences"),
        ("ids.jsonl", b'{"input_ids": [1, 2, 3]}\n', "records are tokens"),
        ("a.zip.txt", b"PK\x03\x04" + bytes(40), "not text"),
        ("a.txt", b"some text\0" + bytes(range(40)), "binary"),
        ("words.jsonl", b'{"tokens": ["a", "text"]}\n', "records are texts cut into words"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused_without_a_word_of_training(
    classifier: Groundup, name: str, content: bytes, says: str
) -> None:
    Path(name).write_bytes(content)
    error = classifier("classify", "c", "--file", name).error
    assert says in error
    assert "train" not in error
    assert "learn" not in error


def test_a_quantised_base_is_refused_in_words_that_fit_every_verb(here: Groundup) -> None:
    from dataclasses import replace

    from groundup.runs import RunFolder
    from groundup.runs.manifest import QuantizationTable

    folder = RunFolder(Path("runs/base"))
    made = QuantizationTable(bits=8, run="runs/whole")
    folder.write(replace(folder.read(), quantization=made))
    says = "runs/base holds weights in 8 bits, which do not learn; take runs/whole, which it was"
    assert here(*MAKE).error.startswith(says)
    assert here("train", "records.csv", "--from", "base").error.startswith(says)


def test_a_run_of_another_kind_is_not_gone_on_with(here: Groundup) -> None:
    error = here(*MAKE, "--run", "base").error
    assert error.endswith("not a run; choose another --run name")


def test_named_records_tell_what_the_base_has_read(
    here: Groundup, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from groundup.runs import RunFolder

    folder = RunFolder(Path("runs/base"))
    manifest = folder.read()
    folder.write(replace(manifest, data=replace(manifest.data, sources=["kjv"])))
    Path("a.txt").write_text("Of this text it has learnt since. " * 99)
    more = here("train", "a.txt", "--from", "base", "--run", "on", "--steps", "1", *QUICK)
    assert more.status == 0, more.err
    make = ["finetune", "classify", "on", "--records", "testaments", "--steps", "1"]
    done = here(*make, "--pooling", "mean", "--layers", "last", *QUICK)
    assert done.status == 0, done.err
    assert "runs/on has learnt from kjv already" in " ".join(done.out.split())
    assert "by group" in done.out
