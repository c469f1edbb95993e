"""Every verb with a standard stream that is closed, full or read by nobody: its work is done."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from groundup.cli import app as entry
from tests.cli.conftest import TRAIN, Groundup, environment
from tests.texts import text_file

HARNESS = """
import importlib, io, json, os, sys, traceback
for name in ("torch", "rich.table", "groundup.train.api", "groundup.finetune.assistant.choose",
             "groundup.finetune.classifier.run", "groundup.weights", "groundup.evaluate.text",
             "groundup.generate.chat", "groundup.report.compare"):
    importlib.import_module(name)
from groundup.cli import main


def opened(where, number):
    if where == "closed":
        os.close(number)
        return
    if where == "unread":
        reading, file = os.pipe()
        os.close(reading)
    else:
        file = os.open(where, os.O_RDWR | os.O_CREAT, 0o600)
    os.dup2(file, number)
    os.close(file)


def stream(number, mode):
    try:
        os.fstat(number)
    except OSError:
        return None
    return open(number, mode, buffering=1 if number == 2 else -1, closefd=False)


def child(case):
    os.chdir(case["folder"])
    for number, where in enumerate(case["streams"]):
        opened(where, number)
    sys.stdin, sys.stdout, sys.stderr = stream(0, "r"), stream(1, "w"), stream(2, "w")
    sys.argv = ["groundup", *case["words"]]
    try:
        main()
    except SystemExit as end:
        status = end.code
    try:  # as the interpreter does
        sys.stdout and sys.stdout.flush()
    except OSError:
        status = 120
    os._exit(status)


results = []
for case in json.load(sys.stdin):
    if not (process := os.fork()):
        try:
            child(case)
        except BaseException:
            with open(case["folder"] + "/fault", "w") as file:
                traceback.print_exc(file=file)
            os._exit(99)
    results.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
print(json.dumps(results))
"""


class Row(NamedTuple):
    """A verb: its words, what it makes; whether it trains, without a screen too; or is refused."""

    words: str
    makes: str = ""
    trains: bool = False
    refused: bool = False


SMALL = "--set threads=1 --set sample_tokens=5 --set eval_tokens=256"
VERBS = {
    "train": Row(f"{' '.join(TRAIN)} story.txt --run new --steps 2", "runs/new/report.html", True),
    "resume": Row("resume base --extend 3", "runs/base/checkpoints/step-00000003", True),
    "generate": Row("generate base It --max-tokens 3"),
    "chat": Row("chat base"),
    "evaluate": Row("evaluate base"),
    "import": Row("import hf runs/in", "runs/in/run.toml"),
    "export": Row("export base out", "out/model.safetensors"),
    "quantize": Row("quantize base --limit 99 --to runs/q", "runs/q/run.toml"),
    "merge": Row("merge thin --to runs/m", "runs/m/run.toml"),
    "plan": Row("plan nano"),
    "runs": Row("runs"),
    "compare": Row("compare base thin", "comparison.html"),
    "report": Row("report base", "runs/base/report.html"),
    "replay": Row("replay base", refused=True),
    "classify": Row("classify classes It"),
    "lab": Row("lab"),
    "lab NAME": Row(
        "lab own.toml --text long.txt --processes 1 --out lab", "lab/report.html", True
    ),
    "data list": Row("data list"),
    "data get": Row("data get tasks", "cache/corpora"),
    "data prepare": Row("data prepare story.txt --tokenizer bytes --data made", "made"),
    "finetune instruct": Row(
        f"finetune instruct base --records qa.csv --run tuned --steps 1 --replies 1 {SMALL}",
        "runs/tuned/assistant.json",
        True,
    ),
    "finetune classify": Row(
        f"finetune classify base --records labels.csv --run tuned --steps 1 {SMALL}",
        "runs/tuned/classification.json",
        True,
    ),
}
NOWHERE = "/dev/null"
OWN = """question = "?"
seeds = 2
steps = 2
[model]
emb_dim = 8
n_heads = 2
n_layers = 1
context_length = 16
[arms.a]
[arms.b]
norm = "rmsnorm"
"""
"""An experiment that takes seconds."""
ASKED = "in"
"""What stands on standard input: a line, for who reads it."""
STREAMS = {
    "unread": (ASKED, "unread", "err"),
    "full": (ASKED, "/dev/full", "err"),
    "closed output": (ASKED, "closed", "err"),
    "full errors": (ASKED, NOWHERE, "/dev/full"),
    "closed errors": (ASKED, NOWHERE, "closed"),
    "closed input": ("closed", NOWHERE, "err"),
    "both full": (ASKED, "/dev/full", "/dev/full"),
    "all closed": ("closed", "closed", "closed"),
}
FULL = "groundup: standard output: No space left on device; "
UNREAD = "groundup: standard output: nobody reads; "


def expected(row: Row, streams: str) -> tuple[int, str]:
    """Return the exit code, and how the one line on standard error begins."""
    if row.trains:
        return 0, {"unread": f"{UNREAD}the ", "full": f"{FULL}the "}.get(streams, "")
    if row.refused:
        return 2, ""
    fails = streams in ("full", "both full")
    return int(fails), f"{FULL}send it to another place" if streams == "full" else ""


def test_every_verb_is_in_the_table() -> None:
    for verbs in entry.VERBS:
        importlib.import_module(f"groundup.cli.{verbs}")
    known: dict[str, Any] = typer.main.get_command(entry.app).commands  # type: ignore[attr-defined]
    groups = {name: getattr(one, "commands", {}) for name, one in known.items()}
    leaves = {f"{name} {leaf}" for name, inner in groups.items() for leaf in inner}
    leaves.add("lab NAME")
    assert leaves | {name for name, inner in groups.items() if not inner} == {*VERBS}


@pytest.fixture
def ready(groundup: Groundup, tmp_path: Path) -> Path:
    """A folder in which every verb finds what it needs."""
    text = text_file(tmp_path).read_text()
    Path("long.txt").write_text(text * 2)
    rows = [f"what is {n}?,{'even' if n % 2 == 0 else 'odd'}" for n in range(60)]
    for name, fields in (("qa", "question,answer"), ("labels", "text,label")):
        Path(f"{name}.csv").write_text("\n".join([fields, *rows]))
    Path(ASKED).write_text("It\n")
    Path("own.toml").write_text(OWN)
    long = ["--set", "context_length=64"]
    train = [*TRAIN, "story.txt", *long]
    tuned = ["--records", "labels.csv", "--run", "classes", "--steps", 1]
    thin = ["--from", "base", "--method", "lora", "--run", "thin", "--steps", 1]
    for words in (
        [*train, "--run", "base", "--steps", 2],
        ["finetune", "classify", "base", *tuned],
        ["train", "story.txt", *thin],
        ["export", "base", "hf"],
    ):
        assert groundup(*words).status == 0, words
    return tmp_path


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_its_work_is_done_and_one_line_says_what_is_lost(
    every: bool, ready: Path, tmp_path: Path
) -> None:
    cases, keys = [], []
    template = ready.with_name(f"{ready.name}-ready")
    shutil.copytree(ready, template)
    for n, (verb, row) in enumerate(VERBS.items()):
        for i, (streams, where) in enumerate(STREAMS.items()):
            if not every and (n + i) % len(STREAMS):  # each verb in one way, each way with some
                continue
            folder = tmp_path / f"{verb}-{streams}".replace(" ", "-")
            shutil.copytree(template, folder)
            cases.append({"words": row.words.split(), "streams": where, "folder": str(folder)})
            keys.append((verb, streams, folder))
    done = subprocess.run(
        [sys.executable, "-c", HARNESS],
        input=json.dumps(cases),
        env=environment(GROUNDUP_CACHE="cache"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    faults = []
    for (verb, streams, folder), status in zip(keys, json.loads(done.stdout), strict=True):
        row, (code, begins) = VERBS[verb], expected(VERBS[verb], streams)
        err = folder / "err"
        said = err.read_text().splitlines() if err.exists() else []
        lost = [line for line in said if line.startswith("groundup: standard output")]
        right = [line.startswith(begins) for line in lost] == [True] * bool(begins)
        made = not row.makes or (folder / row.makes).exists()
        if status != code or not right or not made or (folder / "fault").exists():
            faults.append((verb, streams, status, said, "made" if made else "NOT MADE"))
    assert not faults, "\n".join(map(str, faults))
