"""Whatever is wrong is said in one line, with an exit code, and leaves nothing half written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.data import Batches
from groundup.data.streams import LARGEST_RECORD
from groundup.runs import run_lock
from groundup.runs.checkpoint import list_checkpoints
from tests.cli.conftest import (
    PICO,
    TRAIN,
    Groundup,
    command_line,
    environment,
    files_below,
)
from tests.texts import sentences, text_file

FAILED, USAGE = 1, 2
AS_ROOT = os.geteuid() == 0


def long_record(path: Path) -> None:
    with path.open("w") as file:
        file.write('{"text": "')
        for _ in range(LARGEST_RECORD >> 20):
            file.write("a" * (1 << 20))
        file.write('"}\n')


SHORT = "shorter than a context"  # to prepare it is no mistake; to train on it is
# name of the file, what is in it, further words, what the line must say
TEXTS: dict[str, tuple[str, bytes | Callable[[Path], None], list[str], list[str]]] = {
    "empty": ("a.txt", b"", [], ["a.txt", "empty", "expected some text"]),
    "blank": ("a.txt", b" \n\n \t", [], ["a.txt", "empty"]),
    SHORT: ("a.txt", b"To be.", [], ["tokens", "context_length", "give more"]),
    "not UTF-8": ("a.txt", b"caf\xe9 noir", [], ["a.txt", "offset 3", "--encoding"]),
    "cut in a character": ("a.txt", "né".encode()[:-1], [], ["a.txt", "--encoding"]),
    "NUL": ("a.txt", b"some\0thing", [], ["a.txt", "NUL"]),
    "a record too long": ("a.jsonl", long_record, [], ["a.jsonl", "line 1", "64 MiB"]),
    "a missing field": (
        "a.jsonl",
        b'{"story": "Once"}\n',
        ["--text-field", "body"],
        ["a.jsonl", "'body'", "story", "--text-field"],
    ),
    "two fields": (
        "a.jsonl",
        b'{"a": "x", "b": "y"}\n',
        [],
        ["a.jsonl", "a (text)", "b (text)", "--text-field"],
    ),
    "not JSON": ("a.jsonl", b'{"text": "x"}\n{"text', [], ["a.jsonl", "line 2", "JSON"]),
    "not gzip": ("a.txt.gz", b"plain", [], ["a.txt.gz", "gz"]),
    "an encoding unheard of": ("a.txt", b"abc", ["--encoding", "utf9"], ["utf9", "encoding"]),
    "a separator of nothing": ("a.txt", b"abc", ["--split-on", ""], ["split", "empty"]),
}


VERBS = {"train": ["train", *PICO], "prepare": ["data", "prepare"]}


@pytest.mark.parametrize(
    ("verb", "case"),
    [(verb, case) for case in TEXTS for verb in VERBS if (verb, case) != ("prepare", SHORT)],
)
def test_texts_that_cannot_be_used(
    groundup: Groundup, tmp_path: Path, verb: str, case: str
) -> None:
    name, content, words, expected = TEXTS[case]
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    done = groundup(*VERBS[verb], name, *words)
    assert done.status in (FAILED, USAGE)
    for part in expected:
        assert part in done.error
    left = set(files_below(tmp_path)) - {name}
    assert not {file for file in left if not file.startswith("data/")}
    assert not {file for file in left if "checkpoint" in file or "/." in file}


WORDS: dict[str, tuple[list[str], int, list[str]]] = {
    "verb": (["trian"], USAGE, ["trian", "'train'", "--help"]),
    "verb of data": (["data", "lst"], USAGE, ["lst", "'list'"]),
    "flag": (["train", "--stepz", "3"], USAGE, ["--stepz", "--steps", "train --help"]),
    "no run": (["generate"], USAGE, ["run", "generate --help"]),
    "no text to prepare": (["data", "prepare"], USAGE, ["texts", "--help"]),
    "no verb": (["--debug"], USAGE, ["--help"]),
    "not a number": (["train", "--steps", "x"], USAGE, ["--steps"]),
    "preset": (["plan", "gtp2-124m"], USAGE, ["gtp2-124m", "'gpt2-124m'"]),
    "preset of train": (["train", "--preset", "namo"], USAGE, ["namo", "'nano'"]),
    "key": (["plan", "--set", "n_layer=3"], USAGE, ["n_layer", "'n_layers'"]),
    "key of train": (["train", "--set", "batchsize=3"], USAGE, ["batchsize", "'batch_size'"]),
    "no value": (["train", "--set", "n_layers"], USAGE, ["n_layers", "key=value"]),
    "corpus": (["train", "shakespear"], USAGE, ["shakespear", "'shakespeare'"]),
    "corpus to get": (["data", "get", "factbok"], USAGE, ["factbok", "'factbook'"]),
    "file": (["train", "none.txt"], USAGE, ["none.txt", "check the path"]),
    "glob": (["train", "no*.txt"], USAGE, ["no*.txt", "no file matches"]),
    "range": (["train", "--set", "drop_rate=1.5"], USAGE, ["drop_rate = 1.5", "below 1"]),
    "zero": (["plan", "--set", "n_layers=0"], USAGE, ["n_layers = 0", "from 1"]),
    "negative steps": (["train", "--steps", "-3"], USAGE, ["steps = -3", "1 or more"]),
    "no minutes": (["train", "--minutes", "0"], USAGE, ["minutes = 0", "positive"]),
    "not a time": (["train", "--minutes", "nan"], USAGE, ["minutes = nan", "finite"]),
    "no rate": (["train", "--set", "learning_rate=nan"], USAGE, ["learning_rate = nan"]),
    "infinite": (
        ["train", "story.txt", "--steps", "1", "--set", "weight_decay=inf"],
        USAGE,
        ["weight_decay"],
    ),
    "type": (["plan", "--set", "n_layers=three"], USAGE, ["n_layers=three", "a whole number"]),
    "half": (["plan", "--set", "n_layers=2.5"], USAGE, ["n_layers=2.5", "a whole number"]),
    "choice": (["train", "--set", "schedule=cosin"], USAGE, ["cosin", "cosine"]),
    "device": (["train", "--device", "gpu"], USAGE, ["gpu", "cuda"]),
    "heads": (["plan", "gpt2-124m", "--set", "n_heads=7"], USAGE, ["n_heads = 7", "= 768", "is 6"]),
    "tokenizer": (["train", "story.txt", "--tokenizer", "bqe"], USAGE, ["bqe", "'bpe'"]),
    "vocabulary": (["train", "story.txt", "--vocab-size", "100"], USAGE, ["100", "257"]),
    "unknown": (["train", "story.txt", "--unknown", "skp"], USAGE, ["skp", "'skip'"]),
    "seed": (["train", "--seed", "-1"], USAGE, ["seed = -1", "0 or more"]),
    "workers": (["data", "prepare", "story.txt", "--workers", "0"], USAGE, ["workers = 0"]),
    "no run folder": (["generate", "runs/none"], FAILED, ["runs/none", "no run.toml"]),
    "no run to chat with": (["chat", "."], FAILED, [".", "no run.toml"]),
    "no run to report": (["report", "runs/none"], FAILED, ["runs/none", "no run.toml"]),
    "one run": (["compare", "a"], USAGE, ["1 run", "two or more"]),
    "no runs": (["compare", "a", "b"], FAILED, ["a is not a run folder"]),
    "run name": (["train", "story.txt", "--run", "../x"], USAGE, ["../x"]),
}


@pytest.mark.parametrize("case", WORDS)
def test_words_that_cannot_be_meant(groundup: Groundup, story: Path, case: str) -> None:
    words, status, expected = WORDS[case]
    done = groundup(*words)
    assert done.status == status
    for part in expected:
        assert part in done.error
    assert done.out == ""
    assert set(files_below(story.parent)) == {"story.txt"}


SIZES = [
    ["--preset", "gpt2-1558m", "--set", "batch_size=100000"],
    ["--preset", "nano", "--set", "emb_dim=16000002"],
    ["--preset", "nano", "--set", "n_layers=16000000"],
    ["--preset", "nano", "--set", "emb_dim=99999999999"],
    ["--preset", "nano", "--set", "context_length=10000000"],
    ["--preset", "nano", "--set", "batch_size=99999999999999"],
]


@pytest.mark.parametrize("size", SIZES, ids=" ".join)
def test_impossible_sizes_are_refused_by_arithmetic(
    groundup: Groundup, tmp_path: Path, size: list[str]
) -> None:
    text_file(tmp_path, 20000)
    groundup("data", "prepare", "story.txt", "--vocab-size", 300)
    begun = time.perf_counter()
    done = groundup("train", "story.txt", "--vocab-size", 300, *size)
    assert done.status == USAGE
    assert any(word in done.error for word in ("MiB", "expected", "too short"))
    assert time.perf_counter() - begun < 20
    assert not list(tmp_path.glob("runs/*/run.toml"))


def test_a_folder_without_text(groundup: Groundup, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"\x89PNG")
    done = groundup("train", "pictures")
    assert done.status == FAILED
    assert "pictures: no text in this folder" in done.error
    assert ".txt" in done.error


@pytest.mark.skipif(AS_ROOT, reason="root may read every file")
def test_an_unreadable_file(groundup: Groundup, story: Path) -> None:
    story.chmod(0)
    done = groundup("train", "story.txt")
    assert done.status == FAILED
    assert "story.txt" in done.error
    assert "permission" in done.error.lower()


def test_an_unreadable_file_whoever_asks(
    groundup: Groundup, story: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    done = groundup("data", "prepare", "story.txt")
    assert done.status == FAILED
    assert "story.txt: Permission denied; check" in done.error


def test_runs_where_nothing_can_be_written(groundup: Groundup, story: Path) -> None:
    (story.parent / "runs").write_text("a file, not a folder")
    done = groundup(*TRAIN, "story.txt")
    assert done.status == USAGE
    assert "--runs runs: a file; expected a folder" in done.error
    for missing in ("--runs", "--data"):
        done = groundup(*TRAIN, "story.txt", "--runs", "r", "--data", "d", missing, "/proc/none")
        assert done.status == FAILED
        assert "/proc/none" in done.error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(groundup: Groundup, trained: Path) -> None:
    done = groundup(*TRAIN, "story.txt", "--device", "cuda", "--run", "gpu")
    assert done.status == USAGE
    assert "cuda" in done.error
    assert "use 'cpu'" in done.error
    for device in ("cuda", "tpu"):
        done = groundup("generate", trained, "The", "--device", device)
        assert done.status == USAGE
        assert device in done.error


def test_prompts_and_options_that_cannot_be_followed(
    groundup: Groundup, trained: Path, trained_chars: Path
) -> None:
    cases: list[tuple[list[Any], int, list[str]]] = [
        ([trained, "The", "--max-tokens", -1], USAGE, ["max_tokens = -1"]),
        ([trained, "The", "--temperature", -1], USAGE, ["temperature = -1"]),
        ([trained, "The", "--temperature", "nan"], USAGE, ["temperature = nan"]),
        ([trained, "The", "--top-k", -1], USAGE, ["top_k = -1"]),
        ([trained, "The", "--top-p", 1.5], USAGE, ["top_p = 1.5"]),
        ([trained, "The", "--min-p", -1], USAGE, ["min_p = -1"]),
        ([trained, "The", "--repetition-penalty", 0], USAGE, ["repetition_penalty = 0"]),
        ([trained, "The", "--seed", -1], USAGE, ["seed = -1"]),
        ([trained, "The", "--stop", ""], USAGE, ["stop"]),
        ([trained, "The", "--checkpoint", "newest"], USAGE, ["newest", "best, latest"]),
        ([trained, "The", "--checkpoint", 5], USAGE, ["step 5", "it has 6, 12"]),
        ([trained_chars, "The ☃"], FAILED, ["☃", "U+2603", "position 4"]),
        ([trained_chars], USAGE, ["prompt is empty", "at least one character"]),
        ([trained_chars, ""], USAGE, ["prompt is empty"]),
        ([trained_chars, "The", "☃", "--json"], FAILED, ["☃"]),
    ]
    for words, status, expected in cases:
        done = groundup("generate", *words)
        assert done.status == status, (words, done)
        for part in expected:
            assert part in done.error
        assert done.out.strip() in ("", "The ☃"), "a prompt that was refused was not echoed"


def test_standard_input_that_is_no_text(groundup: Groundup, trained: Path) -> None:
    for words in (
        ["generate", trained, "-"],
        ["chat", trained],
        ["evaluate", trained, "--text", "-"],
    ):
        done = groundup(*words, stdin=b"a \xffb")
        assert done.status == FAILED
        assert "standard input: byte 0xff at offset 2 is not utf-8; convert it" in done.err
        done = groundup(*words, stdin=b"%PDF-1.7\n")
        assert done.status == FAILED
        assert "standard input: a PDF, not text" in done.err
    done = groundup("train", "-", *TRAIN[1:], stdin=b"a \xffb")
    assert done.status == FAILED
    assert "standard input: byte 0xff at offset 2 is not utf-8; give" in done.error


def test_a_run_with_the_tokenizer_of_another(
    groundup: Groundup, trained: Path, trained_chars: Path
) -> None:
    shutil.copy(trained_chars / "tokenizer.json", trained / "tokenizer.json")
    done = groundup("generate", trained, "The")
    assert done.status == FAILED
    assert "tokenizer.json" in done.error
    (trained / "tokenizer.json").write_text("{")
    done = groundup("generate", trained, "The")
    assert done.status == FAILED
    assert "tokenizer.json: expected JSON" in done.error
    (trained / "tokenizer.json").unlink()
    done = groundup("generate", trained, "The")
    assert done.status == FAILED
    assert "tokenizer.json" in done.error


def test_checkpoints_cut_short(groundup: Groundup, trained: Path) -> None:
    older, newer = (c.path / "model.safetensors" for c in list_checkpoints(trained / "checkpoints"))
    newer.write_bytes(newer.read_bytes()[:100])
    done = groundup("generate", trained, "The", "--max-tokens", 3, "--checkpoint", "latest")
    assert done.status == 0
    assert "step-00000012" in done.error
    assert "using step 6" in done.error
    assert done.out.startswith("The")
    older.write_bytes(b"")
    done = groundup("generate", trained, "The")
    assert done.status == FAILED
    assert "no intact checkpoint" in done.error
    assert [done.error.count(c.path.name) for c in list_checkpoints(trained / "checkpoints")] == [
        1,
        1,
    ]


def test_training_goes_on_from_the_older_of_two_checkpoints(
    groundup: Groundup, trained: Path
) -> None:
    whole = (trained / "checkpoints/step-00000012/model.safetensors").read_bytes()
    (trained / "checkpoints/step-00000012/model.safetensors").write_bytes(whole[:-1])
    done = groundup(*TRAIN, "story.txt", "--steps", 12)
    assert done.status == 0
    assert done.err == ""
    assert "going on from the newest intact checkpoint" in done.out
    assert (trained / "checkpoints/step-00000012/model.safetensors").read_bytes() == whole
    for file in trained.glob("checkpoints/*/model.safetensors"):
        file.write_bytes(whole[:-1])
    anew = groundup(*TRAIN, "story.txt", "--steps", 12)
    assert anew.out.count("; beginning anew") == 2
    assert "newest intact" not in anew.out
    assert (trained / "checkpoints/step-00000012/model.safetensors").read_bytes() == whole


@pytest.mark.parametrize("damage", ["", "not = [toml", "format = 99\n"])
def test_a_damaged_run_file(groundup: Groundup, trained: Path, damage: str) -> None:
    (trained / "run.toml").write_text(damage)
    for words in (["generate", trained, "The"], ["report", trained], ["chat", trained]):
        done = groundup(*words)
        assert done.status == FAILED
        assert "run.toml" in done.error
    listed = groundup("runs")
    assert listed.status == 0
    assert "run.toml" in listed.out


def test_a_run_file_that_lacks_a_table(groundup: Groundup, trained: Path) -> None:
    text = (trained / "run.toml").read_text().replace("[model]", "[modal]")
    (trained / "run.toml").write_text(text)
    for words in (["generate", trained, "The"], ["report", trained]):
        done = groundup(*words)
        assert done.status in (FAILED, USAGE)
        assert "model" in done.error


def test_other_settings_and_a_shorter_run(groundup: Groundup, trained: Path) -> None:
    before = files_below(trained)
    done = groundup(*TRAIN, "story.txt", "--steps", 12, "--seed", 7)
    assert done.status == USAGE
    assert "seed was 1, now 7" in done.error
    done = groundup(*TRAIN, "story.txt", "--extend", 5)
    assert done.status == USAGE
    assert "already trains to step 12" in done.error
    assert files_below(trained) == before


def test_two_trainers_in_one_folder(groundup: Groundup, trained: Path) -> None:
    with run_lock(trained / "lock"):
        done = groundup(*TRAIN, "story.txt", "--steps", 12)
    assert done.status == FAILED
    assert f"process {os.getpid()} is training here" in done.error


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk that is full."""
    text_file(tmp_path)
    words = command_line(*TRAIN, "story.txt", "--steps", 12)
    limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 20; exec "$@"', "-", *words]
    options: Any = {"capture_output": True, "text": True, "cwd": tmp_path, "check": False}
    done = subprocess.run(limited, env=environment(), **options)
    assert done.returncode == FAILED
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "free" in lines[0]
    assert not list(tmp_path.glob("runs/*/checkpoints/*"))
    done = subprocess.run(words, env=environment(), **options)
    assert done.returncode == 0, done.stderr
    result = json.loads(
        (tmp_path / "runs/story-pico/checkpoints/step-00000012/state.json").read_text()
    )
    assert result["finished"]


@pytest.mark.parametrize(
    "words", [["plan", "namo"], ["train", "none.txt"], ["data", "prepare", "empty.txt"], ["nope"]]
)
def test_in_a_process_of_its_own(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "empty.txt").touch()
    done = subprocess.run(
        command_line(*words), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode in (FAILED, USAGE)
    assert done.stdout == ""
    assert done.stderr.startswith("groundup: ")
    assert done.stderr.count("\n") == 1


def test_a_shard_that_is_cut_short_while_it_is_learnt(
    groundup: Groundup, story: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, shards = Batches.samples, list[Path]()

    def samples(self: Batches, first: int, n: int) -> object:
        if first >= 8:
            shards[:] = Path("data").rglob("train-*.bin")
            os.truncate(shards[0], 100)
        return genuine(self, first, n)

    monkeypatch.setattr(Batches, "samples", samples)
    done = groundup(*TRAIN, "story.txt", "--steps", 6)
    assert done.status == 1
    assert f"{shards[0]}: damaged (changed while it was read); remove" in done.error


def test_debug_shows_where(groundup: Groundup, tmp_path: Path) -> None:
    found = groundup("--debug", "plan", "namo")
    assert found.status == USAGE
    assert found.err.startswith("Traceback")
    assert "unknown preset" in found.err
    assert groundup("plan", "namo").status == USAGE


def test_what_nobody_foresaw_is_one_line_too(
    groundup: Groundup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("groundup.plan.make_plan", break_)
    done = groundup("plan")
    assert done.status == FAILED
    assert done.err == (
        "groundup: unexpected RuntimeError: two lines; 'groundup --debug ...' shows where it "
        "happened\n"
    )


def test_memory_that_ran_out(groundup: Groundup, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    monkeypatch.setattr("groundup.plan.make_plan", break_)
    done = groundup("plan")
    assert done.status == FAILED
    assert "smaller batch_size" in done.error


def test_a_prompt_that_is_not_unicode(tmp_path: Path, groundup: Groundup, trained: Path) -> None:
    done = groundup("generate", trained, os.fsdecode(b"caf\xe9"))
    assert done.status in (FAILED, USAGE)
    assert "u+dce9" in done.error.lower()


def test_sentences_are_enough_to_train_on(groundup: Groundup, tmp_path: Path) -> None:
    """The other side of 'too short': what is just long enough trains."""
    (tmp_path / "a.txt").write_text(sentences(30))
    done = groundup(*TRAIN, "a.txt", "--steps", 1)
    assert done.status == 0, done.err
