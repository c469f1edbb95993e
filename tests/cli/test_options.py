"""Options that several verbs share: the verb gets a dictionary, the command line single flags."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer
from typer.testing import CliRunner

from groundup.cli.options import READING, SAMPLING, takes

SIZES = {"width": (Annotated[int, typer.Option(help="Wide.")], 3), "deep": (bool, False)}


def test_a_verb_gets_its_options_as_one_dictionary() -> None:
    app = typer.Typer()
    calls: list[Any] = []

    @app.command()
    @takes(SIZES, before="last")
    def build(name: str, *, last: int = 1, **sizes: Any) -> None:
        calls.append((name, sizes, last))

    for words in (["a"], ["b", "--width", "5", "--deep", "--last", "2"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert calls == [("a", {"width": 3, "deep": False}, 1), ("b", {"width": 5, "deep": True}, 2)]
    assert [*inspect.signature(build).parameters] == ["name", "width", "deep", "last"]


def test_two_verbs_have_the_same_options() -> None:
    from groundup.cli.chat import chat
    from groundup.cli.data import prepare
    from groundup.cli.generate import generate
    from groundup.cli.train import train

    for options, verbs in ((SAMPLING, (chat, generate)), (READING, (prepare, train))):
        for verb in verbs:
            parameters = inspect.signature(verb).parameters
            assert [name for name in parameters if name in options] == [*options]
