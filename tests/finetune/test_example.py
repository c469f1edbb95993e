"""The first example is shown as the model will see it, and what of it is learnt."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from groundup import BPETokenizer, ByteTokenizer
from groundup.data.dialogue import Dialogue
from groundup.finetune.assistant.dialogue_rows import learnable
from groundup.finetune.assistant.example import example_pieces
from groundup.generate.template import CHATML, CHATML_TOKENS, ChatTemplate
from groundup.tokenizer import Tokenizer, with_special_tokens
from groundup.train.screen import MOST_CHARACTERS, MOST_PIECES, ConsoleScreen, shortened

TALK = Dialogue(
    (
        {"role": "user", "content": "Say <|im_end|> in ☂ words.\nPlease"},
        {"role": "assistant", "content": "Über\nalles"},
    ),
    "a.jsonl, line 3",
)
SEEN = (
    "<|im_start|>user\nSay <|im_end|> in ☂ words.\nPlease<|im_end|>\n<|im_start|>assistant\n",
    "Über\nalles<|im_end|>",
    "\n",
)


@pytest.mark.parametrize(
    "known", [ByteTokenizer(), BPETokenizer.train(["Say it in ☂ words. user assistant"], 270)]
)
def test_its_parts_are_what_the_model_sees_special_tokens_by_their_names(known: Tokenizer) -> None:
    tokenizer = with_special_tokens(known, CHATML_TOKENS)
    (row,) = learnable([TALK], ChatTemplate(CHATML), tokenizer, 200).rows
    assert example_pieces(row, tokenizer) == [
        (SEEN[0], False),
        (SEEN[1], True),
        (SEEN[2], False),
    ]


def shown(pieces: list[tuple[str, bool]], **how: object) -> str:
    """Return what a console of this kind gets."""
    file = io.StringIO()
    file.isatty = lambda: bool(how.get("force_terminal"))  # type: ignore[method-assign]
    console = Console(file=file, width=60, highlight=False, **how)  # type: ignore[arg-type]
    ConsoleScreen(console).example("a.jsonl, line 3", pieces)
    return file.getvalue()


def test_what_is_learnt_is_marked_where_there_is_no_colour() -> None:
    assert shown([("user\nhi\n", False), ("[red]ho[/red]", True), ("\n", False)]) == (
        "Example     a.jsonl, line 3; learnt is what stands between « and »\n"
        "            user\n"
        "            hi\n"
        "            «[red]ho[/red]»\n"
    )


def test_what_is_learnt_is_green_at_a_terminal_and_nothing_moves_its_cursor() -> None:
    text = shown([("hi\x1b[2J", False), ("ho", True)], force_terminal=True, color_system="standard")
    assert "\x1b[32mho" in text
    assert "«" not in text
    assert "\x1b[2J" not in text
    assert "␛[2J" in text


def test_what_is_long_lacks_its_middle() -> None:
    words = "a" * 300 + "b" * 300
    ((short, learnt),) = shortened([(words, True)])
    assert learnt
    half = MOST_CHARACTERS // 2
    assert short == f"{'a' * half} … {600 - MOST_CHARACTERS} characters … {'b' * half}"
    pieces = [(f"{n}", n % 2 == 1) for n in range(MOST_PIECES + 5)]
    assert shortened(pieces[:MOST_PIECES]) == pieces[:MOST_PIECES]
    found = shortened(pieces)
    assert found[MOST_PIECES // 2] == (" … 5 parts … ", False)
    assert [*found[:6], *found[7:]] == [*pieces[:6], *pieces[-6:]]
