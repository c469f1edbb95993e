"""No control character of others reaches a terminal: by no verb, and from none of our modules."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import groundup as package
from groundup.base.output import harmless
from groundup.cli import main
from tests.cli.conftest import TRAIN, Groundup
from tests.texts import sentences

CLEAR = "\x1b[2J\x9b1m\r\x07\u202e"
NAME = f"a{CLEAR}"
"""As the name of a file or a folder."""
ROOT = Path(package.__file__).parent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(*words: object) -> str:
    """Return what a terminal without styles gets on both outputs."""
    out, err = Terminal(), Terminal()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.argv = ["groundup", *map(str, words)]
        with contextlib.suppress(SystemExit):
            main()
    both = out.getvalue() + err.getvalue()
    assert both.strip(), words
    assert "unexpected" not in both, both
    assert both == harmless(both), f"{words}: {both!a}"
    return both


@pytest.fixture
def hostile(
    tmp_path: Path, groundup: Groundup, trained_once: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A run with control characters in its text, in its name, in the files it was made of."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "argv", [])
    if (kept := trained_once / "hostile").exists():
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
        return Path("runs", NAME)
    Path(f"{NAME}.txt").write_text(sentences(300).replace("queen", CLEAR))
    said = shown(*TRAIN, f"{NAME}.txt", "--steps", 3, "--tokenizer", "chars", "--run", NAME)
    assert "Finished" in said
    assert "␛[2J" in said
    shutil.copytree(tmp_path, kept)
    return Path("runs", NAME)


def test_by_no_verb(hostile: Path) -> None:
    for words in (
        ["runs"],
        ["generate", hostile, CLEAR, "--max-tokens", 50],
        ["generate", NAME, "The", "--temperature", "x\x1b[2J"],
        ["evaluate", hostile],
        ["report", hostile],
        ["replay", hostile],
        ["resume", NAME],
        ["resume", f"{NAME}y"],
        ["compare", hostile, hostile],
        ["quantize", hostile],
        ["export", hostile, f"out{NAME}"],
        ["import", f"out{NAME}", f"runs/in{NAME}"],
        ["classify", hostile, CLEAR],
        ["data", "prepare", f"{NAME}.txt", "--out", f"data{NAME}"],
        ["data", "get", CLEAR],
        ["plan", CLEAR],
        ["lab", f"{NAME}.toml"],
        [CLEAR],
        ["train", f"--{CLEAR}"],
        ["--debug", "plan", CLEAR],
        [*TRAIN, f"{NAME}.txt", "--from", hostile, "--steps", 1, "--run", f"on{NAME}"],
    ):
        shown(*words)


def test_from_no_file_of_a_run(hostile: Path) -> None:
    settings = (hostile / "run.toml").read_text()
    odd = json.dumps(CLEAR)
    for name, content in (
        ("metrics.jsonl", json.dumps({"step": 1, "val_loss": CLEAR, CLEAR: 1}) + "\n"),
        ("samples.jsonl", json.dumps({"step": 1, "prompt": CLEAR, "text": CLEAR}) + "\n"),
        ("tokenizer.json", json.dumps({CLEAR: 1})),
        ("chat_template.jinja", "{{ raise_exception('" + CLEAR + "') }}"),
        ("chat_template.jinja", CLEAR + "{% x\x1b[2J %}"),
        ("generation.toml", f"temperature = {odd}\n"),
        *(
            ("run.toml", settings.replace(line, f"{line.partition(' = ')[0]} = {odd}"))
            for line in re.findall(r"(?m)^\w+ = .*$", settings)[::8]
        ),
        ("run.toml", settings + f"\n[{odd}]\n{odd} = 1\n"),
        ("run.toml", f"x = \x1b[2J{CLEAR}"),
    ):
        copy = Path("runs/copy")
        shutil.copytree(hostile, copy)
        (copy / name).write_text(content)
        shown("runs")
        shown("generate", "copy", "a", "--max-tokens", 2)
        shutil.rmtree(copy)


def test_from_no_record(hostile: Path) -> None:
    words = ["finetune", "classify", hostile, "--records", f"{NAME}.jsonl", "--steps", 2]
    for label in (CLEAR, "label"):
        texts = sentences(90).replace("queen", "\x1b[2J").splitlines()
        records = [{"text": one, "label": f"{i % 2}{label}"} for i, one in enumerate(texts)]
        Path(f"{NAME}.jsonl").write_text("\n".join(map(json.dumps, records)))
        assert "␛[2J" in shown(*words, "--run", "told", "--on-bad-record", "skip")
    shown("classify", "told", CLEAR)
    Path("texts.txt").write_text("\x1b[2J\nThe \x1b[2J\n")
    assert "[2J" in shown("classify", "told", "--file", "texts.txt")
    Path(f"{NAME}.jsonl").write_text(json.dumps({CLEAR: 1, f"b{CLEAR}": 2}) + "\n")
    assert "␛[2J" in shown("finetune", "classify", hostile, "--records", f"{NAME}.jsonl")
    assert "␛[2J" in shown("train", f"{NAME}.jsonl")


def test_what_is_data_stays_as_it_is_in_a_pipe(hostile: Path, groundup: Groundup) -> None:
    prompt = CLEAR.replace("\r", "")  # a newline to this tokenizer
    assert groundup("generate", hostile, prompt, "--max-tokens", 0).out == f"{prompt}\n"
    assert NAME in json.loads(groundup("runs", "--json").out)[0].values()
    listed = groundup("runs").out
    assert listed == harmless(listed)


CHILDREN = {"base/children.py"}
SCREEN = {"base/output.py", "base/console.py"}


def _goes_around(node: ast.AST) -> str | None:
    """Return what of a module writes to a terminal past `harmless`."""
    match node:
        case ast.Attribute(attr="__stdout__" | "__stderr__" as name):
            return name
        case ast.Attribute(value=ast.Attribute(attr="stdout" | "stderr"), attr="buffer" as name):
            return name
        case ast.Call(func=ast.Name(id="Console") | ast.Attribute(attr="Console")):
            return "a console of rich's own"
        case ast.ImportFrom(module="rich", names=names) if {"print", "get_console"} & {
            alias.name for alias in names
        }:
            return "a console of rich's own"
        case ast.Call(
            func=ast.Attribute(attr="write" | "fdopen", value=ast.Name(id="os")),
            args=[ast.Constant(value=1 | 2), *_],
        ):
            return "a descriptor"
        case ast.Call(func=ast.Name(id="open"), args=[ast.Constant(value=1 | 2), *_]):
            return "a descriptor"
        case ast.Call(func=ast.Attribute(attr="system" | "popen", value=ast.Name(id="os"))):
            return "a program"
        case ast.Attribute(value=ast.Name(id="subprocess"), attr="run" | "call" | "check_call"):
            return "a program"
        case ast.Constant(value="/dev/tty" | "/dev/stdout" | "/dev/stderr"):
            return "a device"
    return None


def test_no_module_prints_around_it() -> None:
    found = set()
    for path in ROOT.rglob("*.py"):
        name, source = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        assert "rich.progress" not in source or "console=" in source, "a bar without a console"
        for node in ast.walk(ast.parse(source)):
            if (how := _goes_around(node)) and name not in SCREEN | CHILDREN:
                found.add(f"{name}:{getattr(node, 'lineno', 0)}: {how}")
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "start_python":
                given = {keyword.arg for keyword in node.keywords}
                assert {"stdout", "stderr"} <= given, f"{name}: a child prints by itself"
    assert not found
    around = """sys.__stdout__; sys.stdout.buffer.write(b''); rich.console.Console()
from rich import print; os.write(2, b''); open(1); os.system('ls')"""
    for source in around.replace("; ", "\n").splitlines():
        assert any(map(_goes_around, ast.walk(ast.parse(source)))), source


def test_the_two_outputs_are_screened_as_long_as_a_verb_runs(
    groundup: Groundup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def print_all() -> None:
        print(f"groundup {CLEAR}")
        print(CLEAR, file=sys.stderr)

    monkeypatch.setattr("groundup.cli.app._command", lambda: lambda *a, **k: print_all())
    shown("plan")
