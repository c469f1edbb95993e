"""A classifier under every verb: it works, or one line says what to do instead."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Groundup
from tests.finetune.making import train, with_base, with_records

Words = tuple[str, ...]
ASKS = "runs/c is a classifier (a, b); 'groundup classify runs/c TEXT' asks it"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, a classifier beside it, and one that came in from elsewhere."""
    from groundup.weights import export_model, import_model

    folder = tmp_path_factory.mktemp("made")
    (folder / "runs").mkdir()
    with_records(with_base(folder / "runs"))
    train(folder / "runs" / "c", method="lora", lora_rank=2, pooling="last", steps=2)
    export_model(folder / "runs" / "c", folder / "hf")
    import_model(folder / "hf", folder / "runs" / "in")
    (folder / "a.txt").write_text("It was so. " * 200)
    return folder


@pytest.fixture
def here(made: Path, groundup: Groundup) -> Groundup:
    """Calls a verb in a copy of that folder."""
    shutil.copytree(made, Path.cwd(), dirs_exist_ok=True)
    return groundup


REFUSED: list[tuple[Words, str]] = [
    (("generate", "c", "It was"), ASKS),
    (("chat", "c"), ASKS),
    (("evaluate", "c"), ASKS),
    (("quantize", "c"), "only models that write text are quantised; 'groundup classify runs/c"),
    (("merge", "c", "--bits", "8"), "only models that write text are quantised"),
    (("merge", "in"), "runs/in holds all of its weights already"),
    (("replay", "c"), "no batch"),
    (("plan", "c"), "is a classifier (a, b)"),
    (("train", "a.txt", "--from", "c"), "is a classifier (a, b); train on from"),
    (("train", "a.txt", "--from", "in"), "train on from the model that it was made from"),
    (("finetune", "classify", "c", "--records", "runs/records.csv"),
     "'groundup classify runs/c TEXT' asks it, 'groundup resume runs/c' goes on with it, and "),
    (("finetune", "classify", "in", "--records", "runs/records.csv"),
     "asks it, and the model that it was made from makes another"),
    (("resume", "in"), "it holds no training to go on with"),
    (("export", "c", "out.gguf"), "--format gguf has no place for its head"),
    (("export", "c", "out", "--format", "safetensors"), "safetensors has no place for its head"),
    (("classify", "base", "a text"), "is no classifier"),
    (("import", "hf", "again", "--from", "in"), "no adapter_config.json"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[" ".join(w) for w, _ in REFUSED])
def test_what_is_not_for_classifiers_says_what_is(here: Groundup, words: Words, says: str) -> None:
    answer = here(*words)
    assert answer.status in (1, 2)
    assert says in answer.error
    assert not Path("out").exists()


WORKS: list[tuple[Words, str]] = [
    (("classify", "c", "aaaba"), "%"),
    (("classify", "in", "bbab"), "%"),
    (("runs",), "c"),
    (("report", "c"), "report.html"),
    (("report", "in"), "report.html"),
    (("compare", "c", "in"), "c"),
    (("resume", "c"), "finished already"),
    (("merge", "c"), "groundup classify runs/c-merged TEXT"),
    (("export", "c", "out"), "pads a batch"),
    (("import", "hf", "runs/again"), "groundup classify runs/again TEXT"),
    (
        ("export", "c", "out", "--format", "peft"),
        "an adapter does not say the labels",
    ),
]


@pytest.mark.parametrize(("words", "shows"), WORKS, ids=[" ".join(w) for w, _ in WORKS])
def test_what_is_for_all_runs_works(here: Groundup, words: Words, shows: str) -> None:
    answer = here(*words)
    assert answer.status == 0, answer.err
    assert shows in answer.out


def test_it_decides_alike_wherever_it_is(here: Groundup) -> None:
    here("merge", "c")
    said = [
        json.loads(here("classify", run, "aaab", "--json").out)[0]["probabilities"]
        for run in ("c", "in", "c-merged")
    ]
    for other in said[1:]:
        assert other == pytest.approx(said[0], abs=1e-6)


def test_the_list_says_which_losses_are_of_labels(here: Groundup) -> None:
    listed = here("runs")
    assert listed.out.splitlines()[0].split()[:3] == ["run", "state", "kind"]
    rows = {line.split()[0]: line.split()[2] for line in listed.out.splitlines()[1:]}
    assert rows == {"base": "pretraining", "c": "classifier", "in": "classifier"}
    kinds = {row["name"]: row["kind"] for row in json.loads(here("runs", "--json").out)}
    assert kinds == rows
    shutil.rmtree("runs/c")
    shutil.rmtree("runs/in")
    assert "kind" not in here("runs").out  # of one, it says nothing
    compared = here("compare", "base", "base").out
    assert "pretraining" in compared
