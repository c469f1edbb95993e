"""The pages keep their word: links lead somewhere, code runs, commands and settings exist."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from groundup.cli.chat import COMMANDS
from groundup.config import PRESETS, GPTConfig, TrainConfig, preset
from groundup.finetune.rewards.settings import RewardSettings
from groundup.finetune.settings import InstructSettings
from groundup.generate.chat import CHANGEABLE
from groundup.plan import count_parameters

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").rglob("*.md"))
OTHERS = [page for name in ("benchmarks", "examples") for page in (ROOT / name).glob("*.md")]
PAGES = sorted([*ROOT.glob("*.md"), *DOCS, *OTHERS])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
NOT_OURS = {"pip.py", "logging.py"}
"""Modules that a page speaks of and that groundup has not: files of a user's."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        path, _, heading = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        goal = page.parent / path if path else page
        assert goal.exists(), f"{named(page)} links to {target}"
        if heading and goal.suffix == ".md":
            assert heading in headings(goal), f"{named(page)} links to {target}"


def headings(page: Path) -> set[str]:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def runnable(page: Path) -> bool:
    return "```python\n" in page.read_text(encoding="utf-8")


def runnable_pages() -> Iterator[Any]:
    """Yield the pages with Python; GPT-2's vocabulary is fetched where it is not there yet."""
    for page in DOCS:
        if not runnable(page) or page.name == "article.md":  # which test_notebook.py runs
            continue
        fetches = "gpt2_tokenizer()\n" in page.read_text(encoding="utf-8")
        yield pytest.param(page, marks=pytest.mark.network if fetches else (), id=named(page))


@pytest.mark.parametrize("page", list(runnable_pages()))
def test_python_runs_and_prints_what_is_shown(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's blocks run in order in one namespace; an `output` block is what the last printed."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    printed = ""
    for kind, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(code, named(page), "exec"), namespace)
            printed = out.getvalue()
        elif kind == "output":
            assert printed == code


def test_modules_that_are_named_exist() -> None:
    folders = ("src", "tests", "benchmarks", "docs", "examples")
    files = [path.as_posix() for name in folders for path in (ROOT / name).rglob("*.py")]
    for page in PAGES:
        spans = SPAN.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))
        for name in {span for span in spans if re.fullmatch(r"[\w/]+\.py", span)} - NOT_OURS:
            assert any(path.endswith(f"/{name}") for path in files), f"{named(page)} names {name}"


@functools.cache
def verbs() -> dict[tuple[str, ...], set[str]]:
    """Return the flags of every command, by its words; () is `groundup` itself."""
    cli = importlib.import_module("groundup.cli.app")
    for module in cli.VERBS:
        importlib.import_module(f"groundup.cli.{module}")
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        own = {flag for p in command.params for flag in [*p.opts, *p.secondary_opts]}
        found[words] = own | {"--help", "-h"}
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))

    walk(typer.main.get_command(cli.app), ())
    return found


def spoken(page: Path) -> Iterator[str]:
    """Yield the pieces of a page that may be commands: spans of code, and lines of sh blocks."""
    text = page.read_text(encoding="utf-8")
    yield from SPAN.findall(BLOCK.sub("", text))
    for kind, code in BLOCK.findall(text):
        if kind in ("sh", "console"):
            yield from code.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_verbs_and_flags_exist(page: Path) -> None:
    known = verbs()
    for words in (piece.removeprefix("$ ").split() for piece in spoken(page)):
        command = " ".join(words)
        flags = {flag for word in words for flag in FLAG.findall(word.partition("=")[0])}
        if words[:1] == ["groundup"]:
            path = tuple(word for word in words[1:] if not word.startswith("-"))
            verb = next((path[:n] for n in (2, 1, 0) if path[:n] in known), ())
            assert verb or not path, f"{named(page)}: {command}"
            # A group of verbs is not a command: `groundup data` alone, but not `groundup data git`.
            group = any(len(k) > len(verb) and k[: len(verb)] == verb for k in known)
            assert not (group and path[len(verb) :]), f"{named(page)}: {command}"
            assert flags <= known[verb] | known[()], f"{named(page)}: {command}"


@pytest.mark.parametrize("page", [p for p in DOCS if p.name != "install.md"], ids=named)
def test_flags_named_alone_belong_to_some_verb(page: Path) -> None:
    every = set[str]().union(*verbs().values())
    alone = (span for span in spoken(page) if span.startswith("--"))
    for span in alone:
        assert set(FLAG.findall(span.partition("=")[0])) <= every, f"{named(page)}: {span}"


@pytest.mark.parametrize(
    ("page", "config"),
    [("config.md", GPTConfig), ("training.md", TrainConfig), ("assistant.md", InstructSettings)],
)
def test_every_setting_is_listed_with_its_default(page: str, config: type) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text, re.MULTILINE))
    expected = {f.name: repr(f.default) for f in dataclasses.fields(config)}
    assert {name: listed.get(name) for name in expected} == expected
    assert [name for name in listed if name in expected] == list(expected)


def test_every_setting_of_rewards_is_listed_with_its_default() -> None:
    text = (ROOT / "docs" / "assistant.md").read_text(encoding="utf-8")
    known = InstructSettings.__dataclass_fields__
    for field in dataclasses.fields(RewardSettings):
        assert field.name in known or f"\n| `{field.name}` | `{field.default!r}` |" in text


def test_every_preset_is_listed_with_its_numbers() -> None:
    text = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    for name in PRESETS:
        c = preset(name)
        sizes = (c.n_layers, c.emb_dim, c.n_heads, c.context_length, c.vocab_size)
        flags = ("yes" if flag else "no" for flag in (c.tie_embeddings, c.qkv_bias))
        cells = [f"`{name}`", *(f"{n:,}" for n in sizes), *flags, f"{count_parameters(c).total:,}"]
        assert f"| {' | '.join(cells)} |" in text


def test_every_command_of_a_chat_is_listed_with_what_can_be_set() -> None:
    text = (ROOT / "docs/generation.md").read_text(encoding="utf-8")
    for name, (takes, _, _) in COMMANDS.items():
        typed = f"/{name} {takes.strip('[]')}".rstrip()
        assert f"`{typed}`" in text
    assert all(f"`{name}`" in text for name in CHANGEABLE)


def test_every_page_is_reached_from_the_index() -> None:
    linked = set(LINK.findall((ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    assert {page.name for page in DOCS} - {"index.md"} <= linked
