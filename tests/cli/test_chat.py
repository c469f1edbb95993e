"""`groundup chat` at a terminal and in a pipe, and `groundup generate --chat`."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any, cast

import pexpect
import pytest

from groundup.cli.chat import Session
from tests.cli.conftest import Groundup, Result, command_line, environment

TEMPLATE = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
GREEDY = ["--temperature", 0, "--max-tokens", 4]


def last(done: Result) -> str:
    assert "unexpected" not in done.err
    return done.err.splitlines()[-1]


@pytest.fixture
def taught(trained: Path) -> Path:
    (trained / "chat_template.jinja").write_text(TEMPLATE)
    return trained


def test_an_answer_stands_alone(groundup: Groundup, taught: Path) -> None:
    words = ["generate", taught, "--chat", "A"]
    done = groundup(*words, *GREEDY)
    assert done.status == 0, done.err
    assert done.err == ""
    [pair] = json.loads(groundup(*words, *GREEDY, "--json").out)
    assert pair == {"prompt": "A", "text": done.out.removesuffix("\n")}
    talked = groundup("chat", taught, *GREEDY, stdin="\nA\n")
    assert talked.out == done.out, "an empty line is no turn"
    assert talked.err == "Sampling: temperature 0; /set changes it\n"
    assert groundup("generate", taught, "A", *GREEDY).out != done.out
    assert groundup("generate", taught, "--chat", "-", *GREEDY, stdin="A\n").out == done.out
    drawn = ["generate", taught, "A", "--chat", "--seed", 3, "--max-tokens", 16]
    told = groundup(*drawn, "--system", "zebra")
    assert told.status == 0, told.err
    assert told.out != groundup(*drawn).out
    several = groundup("generate", taught, "--chat", "A", "B", "--seed", 3, "--max-tokens", 4)
    other = groundup("generate", taught, "--chat", "B", "--seed", 4, "--max-tokens", 4)
    assert several.out.endswith("\n\n" + other.out)


def test_the_runs_own_settings_and_the_flags(groundup: Groundup, taught: Path) -> None:
    own = taught / "generation.toml"
    own.write_text("temperature = 0.0\n")
    words = ["generate", taught, "The", "--max-tokens", 12]
    greedy = groundup(*words).out
    assert greedy == groundup(*words, "--temperature", 0).out
    assert groundup(*words, "--seed", 1).out == greedy
    assert groundup(*words, "--seed", 1, "--temperature", 5).out != greedy
    own.write_text("top_q = 1\n")
    done = groundup(*words)
    assert done.status == 2
    assert "generation.toml: unknown key 'top_q'" in done.error


def test_turns_are_forgotten_with_a_word(groundup: Groundup, taught: Path) -> None:
    done = groundup("chat", taught, "--max-tokens", 2, "--seed", 1, stdin="The queen\n" * 4)
    assert done.status == 0
    assert "the oldest turns are forgotten" in done.err
    done = groundup("chat", taught, *GREEDY, stdin="@" * 40)
    assert done.status == 2
    assert last(done).endswith("shorten it")


def test_what_cannot_be_asked(groundup: Groundup, trained: Path) -> None:
    done = groundup("generate", trained, "A", "--chat")
    assert done.status == 2
    assert "has no chat template" in done.error
    done = groundup("generate", trained, "A", "--system", "B")
    assert done.status == 2
    assert "add --chat" in done.error
    done = groundup("generate", trained, "--chat")
    assert done.status == 2
    assert "nothing to answer" in done.error
    done = groundup("chat", trained, "--system", "B")
    assert done.status == 2
    assert "needs a chat template" in done.error
    (trained / "chat_template.jinja").write_text("{% for i in range(10**9) %}{% endfor %}")
    for words in (["generate", trained, "A", "--chat"], ["chat", trained]):
        done = groundup(*words, stdin="A\n")
        assert done.status == 1
        assert done.out == ""
        assert "the chat template cannot be used: Range too big" in last(done)
    (trained / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    for words in (["generate", trained, "A", "--chat"], ["chat", trained]):
        done = groundup(*words, "--system", "B")
        assert done.status == 2
        assert "has no place for a system message" in done.error


def test_what_is_in_force_is_shown(groundup: Groundup, trained: Path) -> None:
    def shown(*words: object) -> str:
        return groundup("chat", trained, *words).err.splitlines()[-1]

    assert shown() == "Sampling: temperature 0.8 (the model names none); /set changes it"
    (trained / "chat_template.jinja").write_text(TEMPLATE)
    assert shown() == "Sampling: temperature 0.3 (the model names none); /set changes it"
    (trained / "generation.toml").write_text("temperature = 0.6\ntop_k = 20\nmin_p = 0\n")
    assert shown() == "Sampling: temperature 0.6, top_k 20 (the model's own); /set changes it"
    assert shown("--top-k", 0, "--min-p", 0.5, "--temperature", 1) == (
        "Sampling: temperature 1, min_p 0.5; /set changes it"
    )
    (trained / "generation.toml").unlink()
    words = ["generate", trained, "--chat", "A", "--seed", 1, "--max-tokens", 12]
    done = groundup(*words)
    assert done.error == "Sampling: temperature 0.3 (the model names none)"
    assert done.out == groundup(*words, "--temperature", 0.3).out
    assert done.out != groundup(*words, "--temperature", 0.8).out


def test_commands_in_a_pipe(groundup: Groundup, taught: Path) -> None:
    words = ["chat", taught, "--seed", 3, "--max-tokens", 5]
    lines = [
        "A",
        "/retry",
        "/set temperature 0",
        "/system B",
        "//C",
        '"""D',
        "/E",
        '"""',
        "/save f",
    ]
    done = groundup(*words, stdin="\n".join([*lines, "/set", "/clear", "/save g", "/bye", "F"]))
    assert done.status == 0, done.err
    assert "temperature 0.0\n" in done.err
    assert "All but the system message is forgotten." in done.err
    [first, *_] = groundup(*words, stdin="A\n").out.splitlines()
    assert done.out.startswith(first)
    messages = json.loads(Path("f.json").read_text())["messages"]
    said = [
        (message["role"], message["content"])
        for message in messages
        if message["role"] != "assistant"
    ]
    assert said == [("system", "B"), ("user", "A"), ("user", "/C"), ("user", "D\n/E")]
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    assert done.out.endswith("\n".join([*answers, ""]))
    assert json.loads(Path("g.json").read_text()) == {"messages": messages[:1]}


def test_a_text_is_kept_as_it_is(groundup: Groundup, trained: Path) -> None:
    words = ["chat", trained, "--seed", 3, "--max-tokens", 5]
    done = groundup(*words, stdin="A\n/save f.story\n/retry\n/clear\nA\n/save g\n")
    assert done.status == 0, done.err
    assert "All is forgotten." in done.err
    written = Path("f.story").read_text()
    assert "A" + done.out[: len(written) - 1] == written
    assert (
        "A" + done.out.removesuffix("\n")[1 - len(Path("g.txt").read_text()) :]
        == Path("g.txt").read_text()
    )


REFUSED = {
    "/sytem B": "no command '/sytem' (type // to begin a text with /); did you mean '/system'?",
    "/": "no command '/'",
    "/exit": "did you mean '/bye'?",
    "/reset": "did you mean '/clear'?",
    "/temperature 1": "did you mean '/set'?",
    "/bye now": "/bye now: the command takes nothing",
    "/save": "/save: expected FILE behind it",
    "/save runs": "/save: runs exists; choose another name",
    "/save .": "/save: . exists",
    f"/save {'x' * 300}": "choose a shorter name",
    "/retry": "nothing was said yet",
    "/system B": "a system message needs a chat template",
    "/set top_q 1": "no setting 'top_q'; did you mean 'top_k' or 'top_p'?",
    "/set top_p 2": "top_p = 2.0: expected above 0",
    "/set top_k": "top_k=: expected a whole number",
    '"""A\nB': 'begins a text that no """ ends',
    "caf\udce9": "byte 0xe9 at offset 3 is not utf-8",
}


def test_what_cannot_be_done_ends_a_pipe(groundup: Groundup, trained: Path) -> None:
    for line, says in REFUSED.items():
        raw = f"{line}\nA\n".encode(errors="surrogateescape")
        done = groundup("chat", trained, *GREEDY, stdin=raw)
        assert done.status in (1, 2)
        assert done.out == ""
        assert says in last(done)
        assert done.err.count("groundup: ") == 2, "one beside that which says: no template"
    assert sorted(path.name for path in Path().iterdir()) == ["data", "runs", "story.txt"]


ANSWER = r"\x1b\[\?2004l\r[^\x1b]"
"""The first character behind a line that was typed: readline ends its bracketed paste."""


def at_terminal(folder: Path, *words: object) -> Any:
    program, *rest = command_line(*words)
    return pexpect.spawn(
        program,
        rest,
        env=environment(GROUNDUP_CACHE=str(folder / "cache"), TERM="xterm"),
        cwd=str(folder),
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=60,
    )


def test_a_chat_at_a_terminal(trained: Path, tmp_path: Path) -> None:
    """Typing, editing, pasting, Ctrl-C in an answer and at the prompt, and the history."""
    history = tmp_path / "cache/chat_history"
    history.parent.mkdir()
    history.write_text("once\n" * 1200)
    terminal = at_terminal(tmp_path, "chat", trained, "--temperature", 0, "--max-tokens", 10**6)
    terminal.expect(r"/help\s+lists\s+the\s+commands\.")
    terminal.expect_exact("> ")
    terminal.send("The quen\x1b[De\x1b[C\r")  # the arrow keys
    terminal.expect(ANSWER)
    terminal.sendintr()
    terminal.expect_exact("> ")
    terminal.send("\x1b[200~one\r/two\r\x1b[201~\r")
    terminal.expect(ANSWER)
    terminal.sendintr()
    terminal.expect_exact("> ")
    terminal.send("no line")
    terminal.expect_exact("no line")
    terminal.sendintr()
    terminal.expect_exact("Ctrl-D or /bye ends the chat")
    terminal.expect_exact("> ")
    terminal.send("/unheard of\r")
    terminal.expect_exact("no command '/unheard'")
    terminal.expect_exact("> ")
    terminal.send("/save talk\r")
    terminal.expect_exact("Saved")
    terminal.expect_exact("> ")
    terminal.sendeof()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    said = (tmp_path / "talk.txt").read_text()
    assert said.startswith("The queen")
    assert "\none\n/two" in said
    assert "no line" not in said
    typed = history.read_text().splitlines()
    assert len(typed) == 1000
    assert typed[-6:] == ["The queen", "one", "/two", "", "/unheard of", "/save talk"]
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_control_characters_do_not_reach_a_terminal(
    groundup: Groundup, trained: Path, tmp_path: Path
) -> None:
    words = ["generate", trained, "\x1b[31mred", "--max-tokens", 0]
    terminal = at_terminal(tmp_path, *words)
    terminal.expect(pexpect.EOF)
    assert terminal.before == "\x1b[2m\u241b[31mred\x1b[0m\r\n"  # dim, by ours
    assert groundup(*words).out == "\x1b[31mred\n", "a pipe gets every character"


def test_help_hangs_below_its_words_where_it_is_narrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    Session(cast("Any", None)).help("")
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= 40
    assert all(line.startswith(("/", '"""', "Ctrl-C", " " * 19)) for line in lines)
