"""`groundup finetune instruct` with a judge and a public task, as a user would call it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from groundup.evaluate.endpoint import KEY
from tests.cli.conftest import Groundup
from tests.evaluate.judging import judging
from tests.finetune.instructing import with_base, with_records
from tests.finetune.making_pairs import with_pairs
from tests.processes.starting import Training

QUICK = [w for k in ("threads=1", "sample_tokens=2", "batch_size=4") for w in ("--set", k)]
MAKE = ["finetune", "instruct", "base", "--run", "a", "--steps", "2", "--replies", "4", *QUICK]
TASK = ["--general-task", "piqa", "--task-data", "docs", "--task-limit", "3"]


@pytest.fixture
def here(groundup: Groundup, kept: Path, monkeypatch: pytest.MonkeyPatch) -> Groundup:
    """Calls a verb beside a base, records, preferences, and documents of piqa in docs/."""
    shutil.copytree(kept, ".", dirs_exist_ok=True)
    monkeypatch.delenv(KEY, raising=False)
    return groundup


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    for name in ("runs", "docs"):
        (folder / name).mkdir()
    with_base(folder / "runs")
    with_records(folder)
    with_pairs(folder)
    one = {"goal": "eat", "sol1": "cake", "sol2": "stone", "label": 0}
    (folder / "docs/piqa.jsonl").write_text((json.dumps(one) + "\n") * 5)
    return folder


def test_both_are_told_before_and_after(here: Groundup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-secret")
    records = ("--records", "records.jsonl")
    with judging(lambda prompt: "\x1b[31mVerdict: A") as judge:
        begun = here(*MAKE, *records, *TASK)
        assert begun.status == 0, begun.err
        assert "Task        piqa, 3 documents: asked before and after" in begun.out
        assert "Task        piqa: acc " in begun.out
        made = here(*MAKE, *records, *TASK, "--judge", judge.url)
    assert made.status == 0, made.err
    before, told, after = made.out.partition("was finished already, at step 2")
    assert told
    assert f"Judge       the model at {judge.url}, with {KEY}: compares 4 reply pairs" in before
    assert f"Judge       wise at {judge.url}: asked for what is missing" in before
    for part in (
        f"Judge       wise at {judge.url}",
        "without one verdict",
        '"\ufffd[31mVerdict: A"',
    ):
        assert part in after, made.out
    assert "\x1b" not in made.out
    found = json.loads(here(*MAKE, *records, *TASK, "--judge", judge.url, "--json").out)["test"]
    assert found["judgement"]["model"] == "wise", "of a judge that is gone, and not asked again"
    assert found["judgement"]["unparsed"] + found["judgement"]["same"] == 4
    assert found["after"]["task"]["outcomes"].strip("01") == ""
    for path in Path("runs/a").rglob("*"):
        assert not path.is_file() or b"sk-secret" not in path.read_bytes(), path
    gone = here("resume", "a", "--extend", "3")
    assert gone.status == 0, gone.err
    assert "the run was begun with" not in gone.out  # it was not: that command came later


def test_what_was_begun_with_a_judge_tells_when_it_goes_on_without(here: Groundup) -> None:
    with judging() as judge:
        words = ("--judge", judge.url, "--judge-model", "wise")
        made = here(*MAKE, "--records", "records.jsonl", *words)
    assert made.status == 0, made.err
    assert " ties (" in made.out
    again = here("resume", "a", "--extend", "3")
    assert again.status == 0, again.err
    assert "nothing is sent to the judge that the run was begun with" in again.out


REFUSED: dict[str, tuple[list[str], str]] = {
    "no address": (["--judge", "gpt-4"], "--judge gpt-4: expected the address of an OpenAI-style"),
    "a secret in it": (
        ["--judge", "https://me:pw@a.org/v1"],
        "--judge https://a.org/v1: expected an",
    ),
    "a model of nothing": (["--judge-model", "x"], "--judge-model x: of which endpoint? give it"),
    "a model without a name": (
        ["--judge", "http://localhost:9/v1", "--judge-model", " "],
        "--judge-model ' ': expected the name of a model",
    ),
    "nobody there": (
        ["--judge", "http://127.0.0.1:9/v1"],
        "which model? its list of models did not",
    ),
    "no replies": (
        ["--judge", "http://localhost:9/v1", "--judge-model", "x", "--replies", "0"],
        "--judge http://localhost:9/v1: compares replies, but n_replies = 0 asks for none",
    ),
    "preferences": (
        ["--judge", "http://localhost:9/v1", "--judge-model", "x", "--records", "pairs.jsonl"],
        "compares replies to test questions, but pairs.jsonl: preferences",
    ),
    "an objective of preferences": (
        ["--judge", "http://localhost:9/v1", "--judge-model", "x", "--objective", "dpo"],
        "compares replies to test questions, but objective = dpo learns preferences",
    ),
    "an unknown task": (
        ["--general-task", "piqua", "--task-data", "docs"],
        "task 'piqua': no such task; did you mean 'piqa'?",
    ),
    "a task without documents": (["--general-task", "piqa"], "general_task = piqa: where are its"),
    "documents of no task": (["--task-data", "docs"], "task_data = docs: of which task? name it"),
    "a limit of no task": (["--task-limit", "3"], "task_limit = 3: of which task? name it"),
    "no documents at all": ([*TASK[:5], "0"], "task_limit = 0: expected 1 or more"),
    "documents of another task": (
        ["--general-task", "arc_easy", "--task-data", "docs"],
        "docs: no documents of arc_easy; expected docs/arc_easy.jsonl",
    ),
    "a file that is not there": (
        ["--general-task", "piqa", "--task-data", "none.jsonl"],
        "none.jsonl: no such file or folder; check the path",
    ),
    "a document without an answer": (
        ["--general-task", "lambada", "--task-data", "docs/piqa.jsonl"],
        "docs/piqa.jsonl, line 1: expected a document with the fields text, but it has no text",
    ),
    "a document that is too long": (
        ["--general-task", "lambada", "--task-data", "long.jsonl"],
        "long.jsonl, line 1: a continuation of 101 tokens: expected 1 to 64",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_line_and_no_run_is_begun(here: Groundup, case: str) -> None:
    Path("long.jsonl").write_text(json.dumps({"text": "once " + "x" * 100}) + "\n")
    words, line = REFUSED[case]
    records = () if "--records" in words else ("--records", "records.jsonl")
    done = here(*MAKE, *records, *words)
    assert done.status in (1, 2)
    assert line in done.error
    assert not Path("runs/a").exists()


def test_several_processes_refuse_it_before_they_train_and_once(kept: Path) -> None:
    with judging(models=()) as judge:
        training = Training(kept, [*MAKE, "--records", "records.jsonl", "--judge", judge.url], 2)
        assert training.wait() == [2, 2]
    assert judge.paths == ["GET /v1/models"]
    line = f"--judge {judge.url}: which model? 0 are there; name it with --judge-model"
    assert (training.err, training.out) == ([f"groundup: {line}\n", ""], ["", ""])
    assert not (kept / "runs/a").exists()


def test_help_lists_them_under_how_it_is_judged(here: Groundup) -> None:
    shown = here("finetune", "instruct", "--help").out
    part = shown.partition("How it is judged")[2].partition("How it is computed")[0]
    for flag in ("--judge", "--judge-model", "--general-task", "--task-data", "--task-limit"):
        assert f"{flag} " in part
