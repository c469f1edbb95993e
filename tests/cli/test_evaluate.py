"""`groundup evaluate`: on the run's own text, on any text, and in tasks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from groundup.evaluate import Candidate, evaluate_task, evaluate_text, read_questions
from groundup.runs import read_lines
from groundup.runs.load import load
from tests.cli.conftest import Groundup
from tests.texts import sentences


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder with documents of two tasks, short enough for a context of 16 tokens."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    lines = sentences(30).splitlines()
    passages = [{"text": line.removesuffix(".")} for line in lines]
    pairs = [
        {"goal": line[:9], "sol1": "the river", "sol2": "her name", "label": n % 2}
        for n, line in enumerate(lines)
    ]
    for name, documents in (("lambada", passages), ("piqa", pairs)):
        text = "".join(json.dumps(document) + "\n" for document in documents)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


def report(done: Any) -> dict[str, Any]:
    assert (done.status, done.err) == (0, "")
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_the_runs_own_validation_text(groundup: Groundup, trained: Path) -> None:
    (finished,) = [r for r in read_lines(trained / "metrics.jsonl") if r.get("event") == "finished"]
    found = report(groundup("evaluate", trained, "--checkpoint", "latest", "--json"))
    assert found["step"] == 12
    assert found["validation"]["loss"] == pytest.approx(finished["val_loss"], rel=1e-6)
    assert found["validation"]["bits_per_byte"] == pytest.approx(
        finished["val_bits_per_byte"], rel=1e-6
    )
    shown = groundup("evaluate", trained, "--checkpoint", "latest")
    assert f"{finished['val_loss']:.4f}" in shown.out
    assert "tokens/s" in shown.out
    assert shown.err == ""


def test_a_text_from_a_file_or_from_standard_input(groundup: Groundup, trained: Path) -> None:
    text = sentences(40, seed=9) + "ünd\n"
    Path("other.txt").write_bytes(text.encode())
    found = report(groundup("evaluate", trained, "--text", "other.txt", "--stride", 5, "--json"))
    loaded = load(trained)
    expected = evaluate_text(Candidate(loaded.model, loaded.tokenizer), text, stride=5)
    assert found["text"]["loss"] == pytest.approx(expected.loss, rel=1e-6)
    assert found["text"]["bytes"] == len(text.encode())
    assert "validation" not in found
    piped = groundup("evaluate", trained, "--text", "-", "--stride", 5, "--json", stdin=text)
    assert report(piped)["text"]["loss"] == found["text"]["loss"]
    shown = groundup("evaluate", trained, "--text", "other.txt")
    assert f"{len(text.encode()):,}" in shown.out
    assert "moving by 8 tokens" in shown.out
    assert "not predicted" not in shown.out


def test_records_and_pages_are_scored_as_they_stand(groundup: Groundup, trained: Path) -> None:
    for name, content, is_told in (
        ("a.jsonl", '{"text": "the river"}\n', True),
        ("a.txt", '{"text": "the river"}\n', True),
        ("a.csv", "text\nthe river\n", True),
        ("a.html", "<p>the river</p>", True),
        ("a.md", "the river\n", False),
    ):
        Path(name).write_text(content)
        done = groundup("evaluate", trained, "--text", name, "--json")
        assert json.loads(done.out)["text"]["bytes"] == len(content)
        assert (f"{name}: taken as it stands, with all that is not" in done.err) == is_told


def test_a_first_token_that_nothing_precedes_is_said_so(
    groundup: Groundup, trained_chars: Path, story: Path
) -> None:
    shown = groundup("evaluate", trained_chars, "--text", story)
    assert "The first token, which nothing precedes, is not predicted." in shown.out


def test_a_start_token_stands_before_a_text(groundup: Groundup, trained: Path, story: Path) -> None:
    plain = report(groundup("evaluate", trained, "--text", story, "--json"))
    (trained / "generation.toml").write_text("start_token = 65\n")
    started = report(groundup("evaluate", trained, "--text", story, "--json"))
    assert started["text"]["loss"] != plain["text"]["loss"]
    (trained / "generation.toml").write_text("start_token = 300\n")
    refused = groundup("evaluate", trained, "--text", story)
    assert refused.status == 2
    assert "expected a token id from 0 to 299" in refused.error


def test_tasks(groundup: Groundup, trained: Path, tasks: Path) -> None:
    words = ["evaluate", trained, "--tasks", "piqa, lambada", "--data", tasks]
    found = report(groundup(*words, "--json"))
    loaded = load(trained)
    candidate = Candidate(loaded.model, loaded.tokenizer)
    for name in ("piqa", "lambada"):
        expected = evaluate_task(candidate, name, read_questions(name, tasks)[1])
        assert found["tasks"][name]["scores"] == expected.scores
        assert found["tasks"][name]["errors"] == expected.errors
        assert found["tasks"][name]["asked"] == found["tasks"][name]["documents"] == 30
    again = report(groundup(*words, "--json"))
    assert [again["tasks"][name]["asked"] for name in ("piqa", "lambada")] == [0, 0]
    assert again["tasks"]["piqa"]["scores"] == found["tasks"]["piqa"]["scores"]
    shown = groundup(*words)
    assert f"{100 * found['tasks']['piqa']['scores']['acc']:.2f}%" in shown.out
    assert f"{found['tasks']['lambada']['scores']['perplexity']:,.2f}" in shown.out
    records = list(read_lines(trained / "evaluations.jsonl"))
    assert sum("document" in record for record in records) == 60


def test_some_documents_kept_elsewhere(groundup: Groundup, trained: Path, tasks: Path) -> None:
    words = ["evaluate", trained, "--tasks", "piqa", "--data", tasks / "piqa.jsonl"]
    found = report(groundup(*words, "--limit", 1, "--output", "kept/here.jsonl", "--json"))
    assert found["tasks"]["piqa"]["documents"] == 1
    assert found["tasks"]["piqa"]["errors"]["acc"] is None  # of one document there is no spread
    assert Path("kept/here.jsonl").is_file()
    assert not (trained / "evaluations.jsonl").exists()
    assert not math.isnan(found["tasks"]["piqa"]["scores"]["acc"])


def test_an_imported_run_has_no_validation_text(groundup: Groundup, trained: Path) -> None:
    manifest = trained / "run.toml"
    kept = [line for line in manifest.read_text().splitlines() if not line.startswith("folder = ")]
    manifest.write_text("\n".join(kept))
    refused = groundup("evaluate", trained)
    assert refused.status == 2
    assert "no validation text of its own; give --text FILE or --tasks" in refused.error


BAD_REQUESTS: list[tuple[list[Any], int, str]] = [
    (["--tasks", "piqa"], 2, "where are the documents? give either --data FOLDER or --hub"),
    (["--tasks", "piqa", "--hub", "--data", "tasks"], 2, "give either --data FOLDER or --hub"),
    (["--tasks", "piq", "--data", "tasks"], 2, "task 'piq': no such task; did you mean 'piqa'"),
    (["--tasks", "arc_easy", "--data", "tasks"], 2, "tasks: no documents of arc_easy"),
    (["--tasks", "piqa", "--data", "nowhere"], 2, "--data nowhere: no such file or folder"),
    (["--tasks", "piqa,lambada", "--data", "tasks/piqa.jsonl"], 2, "one file for 2 tasks"),
    (["--tasks", "lambada", "--data", "tasks/piqa.jsonl"], 1, "piqa.jsonl, line 1: expected"),
    (["--data", "tasks"], 2, "--data and --hub are for tasks"),
    (["--tasks", "piqa", "--data", "tasks", "--limit", 0], 2, "limit = 0: expected 1 or more"),
    (["--tasks", "piqa", "--data", "tasks", "--batch-tokens", 0], 2, "batch_tokens = 0"),
    (["--stride", 4], 2, "--stride is how the window moves over --text"),
    (["--text", "story.txt", "--stride", 17], 2, "stride = 17: expected 1 to 16"),
    (["--text", "absent.txt"], 1, "absent.txt: No such file or directory"),
    (["--text", "raw"], 1, "raw: byte 0xff at offset 5 is not utf-8; convert it to UTF-8"),
    (["--text", "empty.txt"], 1, "empty.txt: an empty text"),
    (["--text", "story.txt", "--device", "tpu"], 2, "--device tpu: not on this machine"),
    (["--checkpoint", "7"], 2, "has no checkpoint of step 7"),
]


def test_bad_requests(groundup: Groundup, trained: Path, tasks: Path) -> None:
    Path("raw").write_bytes(b"good \xff bad")
    Path("empty.txt").write_text("")
    for words, status, message in BAD_REQUESTS:
        refused = groundup("evaluate", trained, *words)
        assert refused.status == status, words
        assert message in refused.error, words
