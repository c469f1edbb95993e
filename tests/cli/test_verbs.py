"""The whole way on a small text, verb by verb."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from groundup import __version__
from groundup.runs import RunFolder
from tests.cli.conftest import TRAIN, Groundup, command_line, environment, files_below
from tests.texts import text_file

VERBS = ["train", "generate", "chat", "evaluate", "import", "export", "runs", "compare", "report"]
VERBS += ["plan", "data"]


def test_train_tells_its_story_and_names_what_comes_next(groundup: Groundup, story: Path) -> None:
    done = groundup(*TRAIN, "story.txt", "--steps", 30)
    assert done.status == 0
    assert done.err == ""
    for word in ("Text", "Tokens", "Parameters", "Memory", "Expected", "Finished", "bits/byte"):
        assert word in done.out
    assert "groundup generate runs/story-pico " in done.out
    assert "groundup chat runs/story-pico" in done.out
    run = RunFolder(Path("runs/story-pico"))
    for path in (run.manifest, run.tokenizer, run.metrics, run.samples, run.report):
        assert path.stat().st_size


def test_the_same_command_again_says_that_it_is_finished(groundup: Groundup, trained: Path) -> None:
    before = files_below(trained)
    again = groundup(*TRAIN, "story.txt", "--steps", 12)
    assert again.status == 0
    assert "was finished already, at step 12" in again.out
    assert files_below(trained) == before
    result = json.loads(groundup(*TRAIN, "story.txt", "--steps", 12, "--json").out)
    assert (result["run"], result["step"], result["finished"]) == ("runs/story-pico", 12, True)


def test_a_run_is_lengthened(groundup: Groundup, trained: Path) -> None:
    done = groundup(*TRAIN, "story.txt", "--extend", 18)
    assert done.status == 0
    assert "Resumed" in done.out
    assert RunFolder(trained).read().as_table()["train"]["steps"] == 18


def test_train_reads_standard_input(groundup: Groundup, story: Path) -> None:
    words = [*TRAIN, "-", "--steps", 2, "--json"]
    done = groundup(*words, stdin=story.read_text())
    assert done.status == 0
    assert json.loads(done.out)["finished"]


def test_generate(groundup: Groundup, trained: Path) -> None:
    words = ["generate", trained, "The queen", "--max-tokens", 20]
    first, second, other = (groundup(*words, "--seed", seed).out for seed in (1, 1, 2))
    assert first == second
    assert first != other
    assert first.startswith("The queen")
    piped = groundup("generate", trained, "-", "--max-tokens", 20, "--seed", 1, stdin="The queen")
    assert piped.out == first
    assert groundup("generate", trained, "--max-tokens", 5).status == 0


def test_generate_for_programs_and_several_prompts(groundup: Groundup, trained: Path) -> None:
    words = ["generate", trained, "A", "The old king", "--max-tokens", 12, "--seed", 3]
    pairs = json.loads(groundup(*words, "--json").out)
    assert [pair["prompt"] for pair in pairs] == ["A", "The old king"]
    plain = groundup(*words).out
    assert plain == "\n\n".join(p["prompt"] + p["text"] for p in pairs) + "\n"
    alone = json.loads(groundup(*words[:3], *words[4:], "--json").out)
    assert alone == pairs[:1]


def test_generate_ends_before_a_stop_string(groundup: Groundup, trained: Path) -> None:
    words = ["generate", trained, "A", "--max-tokens", 40, "--seed", 3, "--json"]
    [whole] = json.loads(groundup(*words).out)
    stop = whole["text"][7:9]
    [cut] = json.loads(groundup(*words, "--stop", stop).out)
    assert cut["text"] == whole["text"][: whole["text"].index(stop)]


def test_chat_with_a_pipe(groundup: Groundup, trained: Path) -> None:
    words = ["chat", trained, "--max-tokens", 5, "--seed", 1]
    done = groundup(*words, stdin="Good morrow\nAnd you\n")
    assert done.status == 0
    assert done.out.count("\n") >= 2
    assert "no chat template" in done.err
    assert ">" not in done.err
    assert groundup(*words, stdin="").out == ""


def test_runs_compare_and_report(groundup: Groundup, trained: Path, trained_chars: Path) -> None:
    listed = groundup("runs")
    assert "story-pico" in listed.out
    assert "letters" in listed.out
    rows = {row["name"]: row for row in json.loads(groundup("runs", "--json").out)}
    assert rows["story-pico"]["state"] == "finished"
    assert rows["story-pico"]["step"] == 12
    compared = groundup("compare", trained, trained_chars, "--out", "both.html")
    assert compared.status == 0
    assert "tokenizer" in compared.out
    assert "</svg>" in Path("both.html").read_text()
    assert json.loads(groundup("compare", trained, trained_chars, "--json").out)
    (trained / "report.html").unlink()
    assert groundup("report", trained).out.strip() == str(trained / "report.html")
    assert (trained / "report.html").stat().st_size


def test_no_runs_yet(groundup: Groundup) -> None:
    done = groundup("runs")
    assert done.status == 0
    assert "no runs in runs" in done.out
    assert json.loads(groundup("runs", "--json").out) == []


def test_data_list(groundup: Groundup) -> None:
    done = groundup("data", "list")
    assert done.status == 0
    listed = json.loads(groundup("data", "list", "--json").out)
    assert [(one["kind"], one["name"]) for one in listed] == [
        ("text", "shakespeare"),
        ("text", "factbook"),
        ("text", "kjv"),
        ("text", "tasks"),
        ("text", "chitchat"),
        ("records", "testaments"),
        ("records", "tasks"),
        ("records", "chitchat"),
    ]
    assert [one.get("job") for one in listed[5:]] == ["classify", "instruct", "instruct"]
    assert "finetune classify" in done.out
    assert "finetune instruct" in done.out
    for text in listed:
        assert text["title"] in done.out
        assert text["licence"]


def test_data_prepare_finds_what_is_prepared(groundup: Groundup, story: Path) -> None:
    words = ["data", "prepare", "story.txt", "--vocab-size", 300]
    first = groundup(*words)
    assert first.status == 0
    before = files_below(Path("data"))
    manifest = json.loads(groundup(*words, "--verify", "--json").out)
    assert files_below(Path("data")) == before
    assert f"{manifest['splits']['train']['tokens']:,}" in first.out
    assert manifest["fingerprint"] in first.out


def test_training_finds_what_data_prepare_prepared(groundup: Groundup, story: Path) -> None:
    assert groundup("data", "prepare", "story.txt").status == 0
    before = sorted(Path("data").iterdir())
    done = groundup("train", "story.txt", "--preset", "pico", "--set", "steps=1")
    assert done.status == 0
    assert sorted(Path("data").iterdir()) == before


def test_plan_is_exact(groundup: Groundup) -> None:
    workshop = ["plan", "gpt2-124m", "--set", "tie_embeddings=false", "--set", "qkv_bias=false"]
    for words, expected in (
        (["plan", "gpt2-124m"], "124,439,808"),
        (["plan", "gpt2-1558m"], "1,557,611,200"),
        (workshop, "163,009,536"),
    ):
        done = groundup(*words)
        assert done.status == 0
        assert expected in done.out
        assert expected.replace(",", "") in groundup(*words, "--json").out
        json.loads(groundup(*words, "--json").out)
    assert "621.83" in groundup(*workshop).out


@pytest.mark.parametrize("verb", [[], *([v] for v in VERBS), ["data", "prepare"], ["data", "get"]])
def test_help_and_the_way_it_is_asked_for(groundup: Groundup, verb: list[str]) -> None:
    helped = groundup(*verb, "--help")
    assert helped.status == 0
    assert helped.out.startswith("Usage: ")
    assert groundup(*verb, "-h").out == helped.out
    if verb in ([], ["data"]):
        assert groundup(*verb) == helped
        assert all(name in helped.out for name in (VERBS if not verb else ["list", "prepare"]))


def test_version(groundup: Groundup) -> None:
    assert groundup("--version").out == f"groundup {__version__}\n"


LIGHT = [["--help"], ["train", "--help"], ["plan"], ["data", "list"], ["runs"]]
LIGHT += [["report", "runs/story-pico"], ["compare", "runs/story-pico", "runs/story-pico"]]


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_light_verbs_never_import_torch(tmp_path: Path, trained: Path, words: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["groundup", *{words!r}]
from groundup.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
assert "torch" not in sys.modules
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


def test_help_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    """The goal is 0.3 s on a quiet machine; a busy one is forgiven much."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run(command_line("--help"), capture_output=True, check=True)
        times.append(time.perf_counter() - begun)
    with capsys.disabled():
        print(f"\ngroundup --help: {min(times):.2f} s")
    assert min(times) < 3


def in_shell(folder: Path, line: str, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `groundup LINE`, which may pipe or redirect; the status is that of groundup."""
    line = f"{shlex.join(command_line())} {line}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(PYTHONUNBUFFERED="1" * unbuffered),
        check=False,
    )


@pytest.mark.parametrize("words", ["data list", "plan", "train --help", "runs"])
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, words: str) -> None:
    done = in_shell(tmp_path, f"{words} | head -c 1")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) == 1
    assert in_shell(tmp_path, f"{words} | true").returncode == 0


@pytest.mark.parametrize("words", ["plan", "train --help"])
def test_an_output_that_is_full_or_closed(tmp_path: Path, words: str) -> None:
    for unbuffered in (False, True):
        done = in_shell(tmp_path, f"{words} > /dev/full", unbuffered)
        assert done.returncode == 1
        assert done.stderr.startswith("groundup: standard output: No space left on device; send it")
        assert done.stderr.count("\n") == 1
    assert in_shell(tmp_path, f"{words} > /dev/full 2> /dev/full").returncode == 1
    done = in_shell(tmp_path, f"{words} >&-")
    assert (done.returncode, done.stderr) == (0, "")


LOST = {
    "| head -n 1": "groundup: standard output: nobody reads; the run goes on",
    "> /dev/full": "groundup: standard output: No space left on device; the run goes on",
    ">&- 2>&-": "",
}


@pytest.mark.parametrize("redirection", LOST)
def test_a_run_goes_on_without_its_output(tmp_path: Path, redirection: str) -> None:
    text_file(tmp_path)
    done = in_shell(tmp_path, f"{shlex.join(TRAIN)} story.txt --steps 12 {redirection}")
    assert done.returncode == 0
    assert done.stderr.startswith(LOST[redirection])
    assert done.stderr.count("\n") == bool(LOST[redirection]), "it is said once"
    states = (tmp_path / "runs/story-pico/checkpoints").glob("*/state.json")
    assert any(json.loads(path.read_text())["finished"] for path in states)
    lines = (tmp_path / "runs/story-pico/metrics.jsonl").read_text().splitlines()
    assert all(map(json.loads, lines)), "nothing else was printed into a file of the run"


def start(tmp_path: Path, *words: object, hang_up: Any = signal.SIG_DFL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command_line(*words),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, hang_up),
    )


STOPPED = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "status"), STOPPED)
def test_a_signal_saves_and_the_same_command_goes_on(
    tmp_path: Path, number: int, status: int
) -> None:
    text_file(tmp_path)
    words = [*TRAIN, "story.txt", "--steps", 3000]
    process = start(tmp_path, *words)
    metrics = tmp_path / "runs/story-pico/metrics.jsonl"
    wait_for(process, lambda: metrics.exists() and metrics.read_bytes().count(b"\n") > 3)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == ""
    assert "saved at step" in out
    states = list(metrics.parent.glob("checkpoints/*/state.json"))
    step = max(json.loads(path.read_text())["step"] for path in states)
    assert f"saved at step {step:,}" in out
    lines = metrics.read_bytes().count(b"\n")
    process = start(tmp_path, *words)
    wait_for(process, lambda: metrics.read_bytes().count(b"\n") > lines + 3)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert f"Resumed     at step {step:,} of 3,000" in out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_text_is_prepared(tmp_path: Path, number: int, status: int) -> None:
    text_file(tmp_path, 600_000)
    words = ["data", "prepare", "story.txt", "--tokenizer", "chars", "--workers", 1]
    process = start(tmp_path, *words)
    wait_for(process, lambda: any(tmp_path.glob("data/*/tokenizer.json")))
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == "groundup: interrupted; the same command goes on where it stopped\n"
    assert not list(tmp_path.glob("data/*/manifest.json"))
    done = start(tmp_path, *words, "--verify")
    _, err = done.communicate(timeout=60)
    assert (done.returncode, err) == (0, "")


def test_who_ignores_a_hang_up_trains_on(tmp_path: Path) -> None:
    text_file(tmp_path)
    words = [*TRAIN, "story.txt", "--steps", 60, "--set", "eval_every=20"]
    process = start(tmp_path, *words, hang_up=signal.SIG_IGN)
    metrics = tmp_path / "runs/story-pico/metrics.jsonl"
    wait_for(process, lambda: metrics.exists() and metrics.read_bytes().count(b"\n") > 3)
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "Step 60" in out


def test_a_library_that_ends_the_process_says_where(tmp_path: Path) -> None:
    text_file(tmp_path, 600_000)
    process = start(tmp_path, "data", "prepare", "story.txt", "--tokenizer", "chars")
    wait_for(process, lambda: any(tmp_path.glob("data/*/tokenizer.json")))
    process.send_signal(signal.SIGABRT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in err
    assert "groundup/data/prepare.py" in err


def wait_for(process: subprocess.Popen[str], happened: Any) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
