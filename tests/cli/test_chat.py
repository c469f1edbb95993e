"""`groundup chat` and `groundup generate --chat` with a run that has a chat template."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Groundup

TEMPLATE = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
GREEDY = ["--temperature", 0, "--max-tokens", 4]


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
    assert talked.err == ""
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
    assert "shorten it" in done.error


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
        assert "the chat template cannot be used: Range too big" in done.error
