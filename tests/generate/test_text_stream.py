"""Text goes on where the prompt ends, and is cut at stop strings, whatever pieces it comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.generate import SamplingConfig, generate, generate_tokens, stream
from groundup.generate.generate import start_ids
from groundup.generate.text_stream import TextStream
from groundup.tokenizer import ByteTokenizer
from tests.generate.test_generate import random_model
from tests.tokenizer.families import llama2, metaspace, ours


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


LLAMA, SPACED = ours(llama2()), ours(metaspace())
PROMPTS = ["the end", "a ", "the old king", "of", ""]


def difference(decode: Callable[[list[int]], str], prompt: list[int], new: list[int]) -> str:
    whole, there = decode(prompt + new), decode(prompt)
    assert whole.startswith(there)
    return whole[len(there) :]


@pytest.mark.parametrize("lookup", [True, False])
def test_what_is_written_is_the_whole_less_the_prompt(lookup: bool) -> None:
    """Alone, streamed, and several prompts at once."""
    model = random_model(3, vocab_size=SPACED.vocab_size, context_length=64)
    settings: dict[str, Any] = {"max_tokens": 30, "temperature": 1.5, "seed": 4, "lookup": lookup}
    ids = [start_ids(SPACED, prompt, 1) for prompt in PROMPTS]
    sampling = SamplingConfig(max_tokens=30, temperature=1.5, seed=4)
    steps = zip(*generate_tokens(model, ids, sampling, ended=lambda row: False), strict=True)
    expected = []
    for prompt, step in zip(ids, steps, strict=True):
        written = [token for token in step if token is not None]
        end = written.index(2) if 2 in written else len(written)
        expected.append(difference(SPACED.decode, prompt, written[:end]))
    assert sum(text.startswith(" ") for text in expected) > 2
    assert generate(model, SPACED, PROMPTS, start_token=1, **settings) == expected
    for n, text in enumerate(PROMPTS):
        alone = settings | {"seed": 4 + n, "start_token": 1}
        assert generate(model, SPACED, text, **alone) == expected[n]
        assert "".join(stream(model, SPACED, text, **alone)) == expected[n]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ((), " of the\nend"),
        ((" of",), ""),
        (("of",), " "),
        (("\n",), " of the"),
        (("end of",), " of the\nend"),  # it begins in the prompt
        (("d of", "the\ne"), " of "),
    ],
)
def test_stop_strings_count_in_what_is_written(stop: tuple[str, ...], expected: str) -> None:
    prompt = LLAMA.encode("the end")
    new = LLAMA.encode("the end of the\nend")[len(prompt) :]
    text, pieces = TextStream(LLAMA, stop, before=prompt), ""
    for token in new:
        pieces += text.feed(token)
        if text.ended:
            break
    assert pieces + text.finish() == expected
