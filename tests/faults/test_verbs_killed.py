"""What writes, killed at every one of its operations on files: the same call ends right.

A process is forked for each, so that torch is loaded once. It dies before the n-th time that a
file is opened for writing, renamed, made or removed; the call that follows must make what an
undisturbed one makes, under the same names, and leave nothing else.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundup import save
from groundup.data import prepare
from groundup.data.corpora import CORPORA, Corpus, Generated, corpus_files
from groundup.generate.quantize import quantize_run
from groundup.lab import run_experiment
from groundup.report.compare import write_comparison
from groundup.runs.load import load
from groundup.runs.merge import merge_run
from groundup.weights import export_adapter, export_model, import_adapter, import_model
from tests.data.dialoguing import said
from tests.data.labelling import jsonl
from tests.finetune.answering import LLAMA, SHORT, TURNS, train, with_base
from tests.finetune.asking import asked_of
from tests.finetune.instructing import carry_out
from tests.lab.toy import EXPERIMENT
from tests.weights.gguf.making import byte_level

WATCHED = {
    "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod",
    "shutil.rmtree", "tempfile.mkdtemp", "tempfile.mkstemp",
}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
"""Flags of an opening that changes something."""
FOREVER = 1 << 30
DIED = -1
TIMED = {
    "lock", "results.jsonl", "verdict.json", "report.html", "run.toml", "metrics.jsonl",
    "state.json", "manifest.json", "assistant.json",
}  # fmt: skip
"""Files that tell who wrote them, or how long it took."""


def forked(act: Callable[[], object], nth: int) -> int:
    """Call `act` in a process that dies at its n-th operation on files, if there are so many.

    Returns the number of operations, or `DIED`.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            count = [0]

            def hook(event: str, arguments: tuple[Any, ...]) -> None:
                if event in WATCHED or (event == "open" and (arguments[2] or 0) & WRITES):
                    count[0] += 1
                    if count[0] == nth:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            act()
            os.write(theirs, str(count[0]).encode())
            status = 0
        except BaseException:  # said here, as nothing behind this is done
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours) as said:
        text = said.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return DIED
    assert status == 0
    return int(text)


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): "" if path.name in TIMED else digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digest(path: Path) -> str:
    lines = [line for line in path.read_bytes().splitlines() if b",cpu_seconds," not in line]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    tokenizer = byte_level("smollm", ("<|endoftext|>", "<s>", "</s>"))
    generation = {"start_token": 1, "stop_tokens": [2]}
    with_base(folder, "base", tokenizer, template=TURNS, generation=generation, **LLAMA)
    records = [{"messages": said(f"Is it {k}?", "ok")} for k in range(60)]
    (folder / "dialogues.jsonl").write_text(jsonl(*records))
    (folder / "story.txt").write_text("It rains. The sun shines. " * 1_000)
    train(folder / "thin", "base", steps=1, batch_size=4, method="lora")
    export_model(folder / "base", folder / "hf", verify=False)
    export_adapter(folder / "thin", folder / "peft", verify=False)
    return folder


VERBS: dict[str, Callable[[Path, Path], object]] = {
    "import": lambda made, out: import_model(made / "hf", out, verify=False),
    "export hf": lambda made, out: export_model(made / "base", out),
    "export gguf": lambda made, out: export_model(made / "base", out, "gguf"),
    "export safetensors": lambda made, out: export_model(made / "base", out, "safetensors"),
    "export peft": lambda made, out: export_adapter(made / "thin", out),
    "import peft": lambda made, out: import_adapter(made / "peft", out, made / "base"),
    "quantize": lambda made, out: quantize_run(made / "base", out, 8, lambda run: 1.0),
    "merge": lambda made, out: merge_run(made / "thin", out),
    "save": lambda made, out: save(*_loaded(made / "base"), out),
}


TEXTS = {"a.txt": "It rains.", "b.txt": "It rains no more."}
CORPUS = Corpus(
    name="rain",
    title="Rain",
    size=sum(map(len, TEXTS.values())),
    documents=len(TEXTS),
    licence="CC0",
    origin=Generated(version="1", texts=lambda: iter(TEXTS.items())),
)
THREE_STEPS: dict[str, Any] = {**SHORT, "steps": 3, "save_every": 1, "sample_tokens": 0}
GO_ON: dict[str, Callable[[Path, Path], object]] = {
    "prepare": lambda made, out: prepare(
        [str(made / "story.txt")], "bpe", 270, out, workers=1, shard_tokens=1_000
    ),
    "data get": lambda made, out: _get(out),
    "compare": lambda made, out: write_comparison(
        [made / "base", made / "thin"], out / "compared.html"
    ),
    "lab": lambda made, out: run_experiment(EXPERIMENT, text=str(made / "story.txt"), folder=out),
    "finetune": lambda made, out: carry_out(
        asked_of(out / "run", str(made / "dialogues.jsonl"), str(made / "base"), **THREE_STEPS)
    ),
}
"""They go on in what has its final name from the beginning."""


def _get(cache: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUNDUP_CACHE", str(cache))
        patch.setitem(CORPORA, "rain", CORPUS)
        corpus_files("rain")


def _loaded(run: Path) -> tuple[Any, Any]:
    found = load(run)
    return found.model, found.tokenizer


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_any_operation_it_ends_right_the_next_time(
    verb: str, every: int, made: Path, tmp_path: Path
) -> None:
    act, out = VERBS[verb], "made"
    (tmp_path / "whole").mkdir()
    act(made, tmp_path / "first" / out)  # imports what it needs
    n_operations = forked(lambda: act(made, tmp_path / "whole" / out), FOREVER)
    whole = content(tmp_path / "whole")
    assert whole
    assert n_operations > 5
    for nth in range(1, n_operations + 1, every):
        folder = tmp_path / "killed"
        folder.mkdir(exist_ok=True)
        if forked(lambda folder=folder: act(made, folder / out), nth) == DIED:  # type: ignore[misc]
            there = content(folder)
            if (folder / out).exists():  # nothing half-made has the final name
                assert {n: d for n, d in there.items() if not n.startswith(".")} == whole, nth
            else:
                assert forked(lambda folder=folder: act(made, folder / out), FOREVER) > 0  # type: ignore[misc]
        assert content(folder) == whole, f"operation {nth} of {n_operations}"
        folder.rename(tmp_path / f"done-{nth}")


@pytest.mark.parametrize("tries", [4, pytest.param(FOREVER, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", GO_ON)
def test_killed_at_any_operation_it_goes_on(
    verb: str, tries: int, made: Path, tmp_path: Path
) -> None:
    act = GO_ON[verb]
    act(made, tmp_path / "first")
    n_operations = forked(lambda: act(made, tmp_path / "whole"), FOREVER)
    whole = content(tmp_path / "whole")
    assert whole
    step = max(1, n_operations // tries)
    for nth in range(n_operations % step or step, n_operations + 1, step):  # the last one, too
        folder = tmp_path / f"killed-{nth}"
        if forked(lambda folder=folder: act(made, folder), nth) == DIED:  # type: ignore[misc]
            assert forked(lambda folder=folder: act(made, folder), FOREVER) >= 0  # type: ignore[misc]
        assert content(folder) == whole, f"operation {nth} of {n_operations}"
