"""Text is cut at stop strings in one way, whatever pieces it comes in."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from groundup.generate.text import TextStream
from groundup.tokenizer import ByteTokenizer


class Words(ByteTokenizer):
    """Token i is the i-th of the given words."""

    end_of_text = 10_000

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return "".join(self.words[i] for i in ids).encode()


def cut(words: list[str], stop: list[str]) -> str:
    stream = TextStream(Words(words), stop)
    pieces = []
    for token in range(len(words)):
        pieces.append(stream.feed(token))
        if stream.ended:
            break
    return "".join(pieces) + stream.finish()


def naive(text: str, stop: list[str]) -> str:
    for end in range(len(text) + 1):
        complete = [end - len(s) for s in stop if text[:end].endswith(s)]
        if complete:
            return text[: min(complete)]
    return text


def test_the_stop_string_that_is_complete_first_counts() -> None:
    assert cut(["abcd"], ["abcd", "bc"]) == cut(["a", "b", "c", "d"], ["abcd", "bc"]) == "a"


@given(
    st.lists(st.text("aé🎈", max_size=4), max_size=6),
    st.lists(st.text("aé🎈", min_size=1, max_size=3), max_size=3),
)
def test_pieces_do_not_matter(words: list[str], stop: list[str]) -> None:
    assert cut(words, stop) == naive("".join(words), stop)
