"""A run of others names paths: what lies elsewhere is neither read nor written unasked."""

from __future__ import annotations

import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pexpect
import pytest

from groundup.base.files import read_toml
from groundup.runs.manifest import Manifest, write_manifest
from tests.cli.conftest import TRAIN, Groundup, files_below
from tests.cli.test_chat import at_terminal
from tests.texts import text_file

BEGUN = "was begun by others or on another machine"


def named(run: Path, **keys: Any) -> None:
    """Write values into run.toml, under their dotted keys with __ for each dot, as others might."""
    tables = read_toml(run / "run.toml")
    del tables["format"]
    for key, value in keys.items():
        *path, last = key.split("__")
        table = tables
        for part in path:
            table = table.setdefault(part, {})
        table[last] = value
    write_manifest(run / "run.toml", Manifest.of(tables))


@pytest.fixture
def handed_over(groundup: Groundup, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that another user has begun, without its shards."""
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("others").resolve()))
    shutil.rmtree("data")
    return trained


SEEN: list[str] = []


def _see(event: str, given: tuple[Any, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and "/afar" in f"/{given[0]}":
        SEEN.append(str(given[0]))


sys.addaudithook(_see)


@pytest.fixture
def opened() -> list[str]:
    """The files and folders that were opened below `afar`."""
    SEEN.clear()
    return SEEN


def test_a_run_of_ones_own_goes_on_by_its_name_wherever_its_text_is(
    groundup: Groundup, tmp_path: Path
) -> None:
    (afar := tmp_path / "afar").mkdir()
    text = text_file(afar)
    shards = ["--data", "afar/shards"]
    assert groundup(*TRAIN, text, "--steps", 6, "--run", "mine", *shards).status == 0
    before = (Path("runs/mine") / "run.toml").read_text()
    done = groundup("resume", "mine", "--extend", 8)
    assert (done.status, done.err) == (0, "")
    shutil.rmtree("afar/shards")
    done = groundup("resume", "mine", "--extend", 9)
    assert (done.status, done.err) == (0, "")
    assert Path("afar/shards").is_dir()  # made anew where they were
    assert not Path("data").exists()
    assert (
        before.partition("[own]")[2]
        == (Path("runs/mine/run.toml")).read_text().partition("[own]")[2]
    )
    shutil.move("runs/mine", "renamed")
    assert groundup("resume", "renamed", "--extend", 10).err == ""


@pytest.mark.parametrize(("answer", "status"), {"n\r": 2, "\r": 2, "\x04": 2, "\x03": 130}.items())
def test_nothing_but_a_yes_lets_it_be_read(
    answer: str, status: int, handed_over: Path, tmp_path: Path
) -> None:
    named(handed_over, request__text__sources=["/etc/hostname"])
    before = files_below(tmp_path)
    terminal = at_terminal(tmp_path, "resume", handed_over, "--extend", 20)
    terminal.expect_exact("Read that?")
    terminal.send(answer)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == status
    assert "unexpected" not in terminal.before
    assert files_below(tmp_path) == before


SOURCES = {
    "absolute": "/etc/hostname",
    "above": "../afar/story.txt",
    "within": "sub/../../afar/story.txt",
    "link": "link.txt",
    "linked folder": "linked",
    "folder with a link": "texts",
    "pattern": "link*",
    "pattern above": "../afar/*",
    "hidden": ".ssh/id_rsa",
    "fetched": "kjv",
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("verb", ["resume", "train"])
def test_a_source_elsewhere_is_asked_for(
    kind: str,
    verb: str,
    groundup: Groundup,
    handed_over: Path,
    tmp_path: Path,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path / "cache"))
    (here := tmp_path / "here").mkdir()
    shutil.move("runs", here)
    monkeypatch.chdir(here)
    (afar := tmp_path / "afar").mkdir()
    text = text_file(afar)
    Path("link.txt").symlink_to(text)
    Path("linked").symlink_to(afar)
    Path("texts").mkdir()
    Path("texts/a.txt").symlink_to(text)
    Path(".ssh").mkdir()
    shutil.copy(text, ".ssh/id_rsa")
    named(handed_over, request__text__sources=[SOURCES[kind]])
    before = files_below(tmp_path)
    opened.clear()
    words = ["resume", handed_over] if verb == "resume" else ["train", "--run", handed_over.name]
    done = groundup(*words, "--extend", 14)
    assert done.status == 2
    assert f"{handed_over} {BEGUN}" in done.error
    assert f"{SOURCES[kind]} (its text)" in done.error
    assert f"groundup resume {handed_over} --trust-paths" in done.error
    assert not opened
    assert files_below(tmp_path) == before
    assert not Path("data").exists()


def test_what_is_near_is_read_and_shown_before(groundup: Groundup, handed_over: Path) -> None:
    done = groundup("resume", handed_over, "--extend", 14)
    assert done.status == 0
    assert f"{handed_over} {BEGUN}, and reads: story.txt" in done.err
    named(
        handed_over,
        data__folder=str(Path("afar").resolve() / next(Path("data").iterdir()).name),
    )
    done = groundup("resume", handed_over, "--extend", 15)
    assert done.status == 0
    assert f"reads: data/{next(Path('data').iterdir()).name}" in done.err
    assert not Path("afar").exists()


@pytest.mark.parametrize("kept", ["/etc", "../shards/1f", "..", "/", ""])
def test_shards_go_only_where_the_user_says(
    kept: str, groundup: Groundup, handed_over: Path, tmp_path: Path
) -> None:
    named(handed_over, data__folder=kept)
    assert groundup("resume", handed_over, "--extend", 14).status == 0
    assert Path("data").is_dir()
    assert not (tmp_path.parent / "shards").exists()
    shutil.rmtree("data")
    named(handed_over, data__folder=kept)
    assert groundup("resume", handed_over, "--extend", 15, "--data", "own").status == 0
    assert Path("own").is_dir()
    assert not Path("data").exists()


def test_what_the_user_allows_is_read_now_and_later(
    groundup: Groundup, handed_over: Path, tmp_path: Path
) -> None:
    text = str(shutil.move("story.txt", tmp_path.parent / f"{tmp_path.name}.txt"))
    named(handed_over, request__text__sources=[text])
    assert text in groundup("resume", handed_over, "--extend", 14).error
    done = groundup("resume", handed_over, "--extend", 14, "--trust-paths")
    assert (done.status, done.err) == (0, "")
    shutil.rmtree("data")
    assert groundup("train", "--run", handed_over.name, "--extend", 15).err == ""
    named(handed_over, request__text__sources=["/etc/hostname"])  # the seal is of what it named
    shutil.rmtree("data")
    assert "/etc/hostname" in groundup("resume", handed_over, "--extend", 16).error


def test_naming_all_again_goes_on_and_is_remembered(
    groundup: Groundup, handed_over: Path, tmp_path: Path
) -> None:
    text = str(shutil.move("story.txt", tmp_path.parent / f"{tmp_path.name}.txt"))
    named(handed_over, request__text__sources=[text], data__sources=[text])
    again = [*TRAIN, text, "--run", handed_over.name]
    done = groundup(*again, "--extend", 14)
    assert (done.status, done.err) == (0, "")
    assert groundup("resume", handed_over, "--extend", 15).err == ""
    named(handed_over, request__text__sources=["/etc/hostname"])
    assert groundup(*again, "--extend", 16).status == 0  # the user's text, not the one named there
    shutil.rmtree("data")
    assert "/etc/hostname" in groundup("resume", handed_over, "--extend", 17).error


def test_evaluating_reads_no_shards_elsewhere(
    groundup: Groundup, trained: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    shutil.move("data", "../afar-data")
    kept = next(Path("../afar-data").iterdir())
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("others").resolve()))
    named(trained, data__folder=str(kept.resolve()))
    opened.clear()
    for words in (["evaluate", trained], ["quantize", trained, "--to", "narrow"]):
        done = groundup(*words)
        assert done.status == 2
        assert f"data/{kept.name}, which is not there" in done.error
        assert str(kept.resolve()) in done.error
    assert not opened
    shutil.move("../afar-data", "data")
    assert groundup("evaluate", trained, "--json").status == 0


@pytest.fixture
def beside_base(groundup: Groundup, trained: Path, tmp_path: Path) -> Path:
    """A run of thin matrices on a base afar."""
    (tmp_path / "afar").mkdir()
    shutil.move(trained, "afar/base")
    words = ["--from", tmp_path / "afar" / "base", "--method", "lora", "--steps", 2]
    assert groundup("train", "story.txt", *words, "--run", "thin").status == 0
    return Path("runs/thin")


def test_a_base_elsewhere_is_read_by_no_verb(
    groundup: Groundup,
    beside_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[str],
    tmp_path: Path,
) -> None:
    write = ["generate", beside_base, "a", "--max-tokens", 2]
    assert groundup(*write).status == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("others").resolve()))
    opened.clear()
    verbs: list[list[object]] = [
        ["resume", beside_base],
        write,
        ["chat", beside_base],
        ["evaluate", beside_base],
        ["export", beside_base, "out"],
        ["quantize", beside_base, "--to", "narrow"],
        ["merge", beside_base],
    ]
    for words in verbs:
        done = groundup(*words)
        assert done.status == 2, words
        assert f"{tmp_path}/afar/base (its base)" in done.error, words
        assert "--trust-paths" in done.error
    assert groundup("runs").status == 0
    assert groundup("report", beside_base).status == 0
    assert not opened
    shutil.copytree("afar/base", "runs/base")
    assert groundup(*write).status == 0  # beside it
    shutil.rmtree("runs/base")
    assert groundup("resume", beside_base, "--trust-paths").status == 0
    assert groundup(*write).status == 0


def test_a_run_from_another_machine_goes_on_by_its_own_command(
    groundup: Groundup, beside_base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("others").resolve()))
    words = ["--from", tmp_path / "afar" / "base", "--method", "lora", "--extend", 3]
    done = groundup("train", "story.txt", *words, "--run", "thin")
    assert (done.status, done.err) == (0, "")
    assert "It writes" in done.out  # by what it has become, with its base


def test_a_user_whose_home_cannot_be_written_to_trains_and_goes_on(
    groundup: Groundup, story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no_folder").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no_folder"))
    text = str(story.resolve())
    again = [*TRAIN, text, "--run", "mine"]
    assert groundup(*again, "--steps", 2).status == 0
    shutil.rmtree("data")
    done = groundup("resume", "mine", "--trust-paths")
    assert done.status == 2
    assert "no key of this user can be kept there" in done.error
    assert groundup(*again, "--steps", 2, "--extend", 3).status == 0


@pytest.mark.parametrize(
    ("kind", "flags"), [("instruct", []), ("classify", ["--label-field", "label"])]
)
def test_a_fine_tuned_run_of_others_reads_nothing_elsewhere(
    kind: str,
    flags: list[str],
    groundup: Groundup,
    story: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[str],
) -> None:
    base = [*TRAIN, "story.txt", "--steps", 1, "--run", "base", "--set", "context_length=64"]
    assert groundup(*base).status == 0
    fields = ("question", "answer") if kind == "instruct" else ("text", "label")
    rows = [f"what is {n}?,{'even' if n % 2 == 0 else 'odd'}" for n in range(60)]
    Path("records.csv").write_text("\n".join([",".join(fields), *rows]))
    words = ["finetune", kind, "base", "--records", "records.csv", "--run", "tuned"]
    more = ["--replies", 2] if kind == "instruct" else []
    done = groundup(*words, *flags, *more, "--steps", 2)
    assert done.status == 0, done.err
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("others").resolve()))
    run = Path("runs/tuned")
    fields_of = {
        "request__from__run": "../afar/base",
        "request__text__sources": ["../afar/records.csv"],
        "request__text__test_sources": ["../afar/test.csv"],
    }
    if kind == "instruct":
        fields_of |= {
            "request__job__general_text": "../afar/general.txt",
            "request__job__mix_text": "../afar/mix.txt",
            "request__job__task_data": "../afar/task.jsonl",
        }

    def asked(*given: Any, **others: Any) -> None:
        raise AssertionError("a request was made")

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", asked)
    monkeypatch.setenv("GROUNDUP_JUDGE_KEY", "secret")
    named(run, request__command="groundup finetune instruct --judge http://127.0.0.1:9/v1")
    shutil.move("data", "shards")
    opened.clear()
    before = (run / "run.toml").read_text()
    for key, value in fields_of.items():
        (run / "run.toml").write_text(before)
        also: dict[str, Any] = {"request__job__mix_share": 0.2} if "mix" in key else {}
        if "task" in key:
            also["request__job__general_task"] = "piqa"
        named(run, **{key: value}, **also)
        done = groundup("resume", run, "--extend", 3)
        assert done.status == 2, (key, done)
        assert "../afar/" in done.error, key
        assert "--trust-paths" in done.error, key
    assert not opened
    (run / "run.toml").write_text(before)
    done = groundup("resume", run, "--extend", 3)
    assert done.status == 0, done.err
    assert "and reads: runs/base, records.csv" in done.err
