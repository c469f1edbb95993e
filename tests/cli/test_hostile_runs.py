"""A run folder of others, with links and pipes in it: refused, and no harm is done."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import TRAIN, Groundup, files_below

NAMES = (
    "lock", "run.toml", "metrics.jsonl", "samples.jsonl", "tokenizer.json", "chat_template.jinja",
    "generation.toml", "report.html", "checkpoints", "replay", "checkpoints/step-00000012",
    "checkpoints/step-00000012/model.safetensors", "checkpoints/step-00000012/trainer.safetensors",
    "checkpoints/step-00000012/state.json", "checkpoints/step-00000012/manifest.json",
)  # fmt: skip
KINDS = {
    "link": lambda path, outside: path.symlink_to(outside),
    "pipe": lambda path, outside: os.mkfifo(path),
    "device": lambda path, outside: path.symlink_to("/dev/zero"),
}
VERBS: dict[str, list[object]] = {
    "train": [*TRAIN, "story.txt", "--steps", 12],
    "resume": ["resume", "story-pico", "--extend", 13],
    "generate": ["generate", "story-pico", "a", "--max-tokens", 2],
    "export": ["export", "story-pico", "out"],
    "evaluate": ["evaluate", "story-pico"],
    "report": ["report", "story-pico"],
    "quantize": ["quantize", "story-pico", "--to", "narrow"],
    "classify": ["classify", "story-pico", "a"],
    "chat": ["chat", "story-pico"],
    "from": ["train", "story.txt", "--from", "story-pico", "--steps", 1, "--run", "on"],
    "finetune": ["finetune", "instruct", "story-pico", "--records", "tasks", "--run", "on"],
    "merge": ["merge", "story-pico"],
    "replay": ["replay", "story-pico"],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_regular_file_is_named_and_left_alone(
    name: str, kind: str, groundup: Groundup, trained: Path
) -> None:
    outside = Path("outside").resolve()
    path = trained / name
    if path.is_dir():
        shutil.copytree(path, outside)
        shutil.rmtree(path)
    else:
        outside.write_text("precious")
        path.unlink(missing_ok=True)
    before = sorted(outside.rglob("*")), outside.stat()
    KINDS[kind](path, outside)
    for verb, words in VERBS.items():
        found = groundup(*words)
        assert found.status in (1, 2), f"{verb}: {found}"
        assert f"{path}: expected a regular file" in found.error, verb
    listed = groundup("runs")
    assert str(path) in listed.out + listed.err
    assert (sorted(outside.rglob("*")), outside.stat()) == before
    assert not Path("out").exists()
    assert not Path("narrow").exists()


def test_one_bad_run_hides_none_of_the_others(groundup: Groundup, trained: Path) -> None:
    for n, name in enumerate(NAMES):
        shutil.copytree(trained, bad := trained.with_name(f"bad{n}"))
        if (path := bad / name).is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    listed = groundup("runs")
    assert listed.status == 0
    assert "story-pico" in listed.out
    assert all(f"bad{n}" in listed.out for n in range(len(NAMES)))


@pytest.mark.parametrize("shared", [("metrics.jsonl",), ("samples.jsonl",), ()])
def test_what_is_in_another_folder_too_is_not_written(
    shared: tuple[str, ...], groundup: Groundup, trained: Path
) -> None:
    """As `cp -al` copies a run, all of it, and as others may plant a single file."""
    copy = trained.with_name("copy")
    shutil.copytree(trained, copy, copy_function=os.link)
    for path in copy.rglob("*") if shared else ():
        if path.is_file() and path.name not in shared:
            shutil.copy(path, whole := path.with_name("whole"))
            whole.replace(path)
    before = files_below(trained), (trained / "lock").read_bytes()
    found = groundup("resume", "copy", "--extend", 13)
    assert found.status == 1
    assert (
        f"{copy / (shared or ('metrics.jsonl',))[0]}: it is in another folder, too" in found.error
    )
    assert (files_below(trained), (trained / "lock").read_bytes()) == before
    assert groundup("generate", "copy", "a", "--max-tokens", 2).status == 0
    assert "copy" in groundup("runs").out
    Path("again").mkdir()
    shutil.copytree("data", "again/data", copy_function=os.link)  # shards are only read
    lock = next(Path("data").glob("*/lock"))
    held = lock.read_bytes()
    assert groundup("data", "prepare", "story.txt", "--data", "again/data").status == 0
    assert lock.read_bytes() == held
    shutil.copytree(copy, trained.with_name("own"))
    assert groundup("resume", "own", "--extend", 13).status == 0


def test_the_folder_itself_may_be_a_link(groundup: Groundup, trained: Path) -> None:
    elsewhere = Path("elsewhere").resolve()
    shutil.move(trained, elsewhere)
    trained.symlink_to(elsewhere)
    assert groundup("resume", "story-pico", "--extend", 13).status == 0
    assert groundup("generate", "story-pico", "a", "--max-tokens", 2).status == 0
