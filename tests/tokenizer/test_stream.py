"""Ids behind others are decoded as a difference, whatever a decoder does to the text as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers

from groundup.tokenizer import (
    ByteTokenizer,
    CharTokenizer,
    JSONTokenizer,
    StreamDecoder,
    Tokenizer,
    tokenizer_from_document,
)
from groundup.tokenizer.interface import REPLACEMENT
from groundup.tokenizer.stream import LONGEST_RUN
from tests.tokenizer.families import FAMILIES, byte_level, llama2, ours
from tests.tokenizer.helpers import by_library, small_bpe

SPACES, BYTES, FUSE = decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()
DECODERS = {
    "strip": decoders.Sequence([SPACES, BYTES, FUSE, decoders.Strip(" ", 1, 0)]),
    "strip-all": decoders.Sequence([SPACES, BYTES, FUSE, decoders.Strip(" ", 9, 0)]),
    "metaspace-always": decoders.Metaspace(prepend_scheme="always"),
    "metaspace-first": decoders.Metaspace(prepend_scheme="first"),
    "metaspace-never": decoders.Metaspace(prepend_scheme="never"),
    "metaspace-bytes": decoders.Sequence([BYTES, decoders.Metaspace()]),
    "wordpiece": decoders.WordPiece("##", cleanup=True),
    "suffix": decoders.BPEDecoder("</w>"),
    "ctc": decoders.CTC("<pad>", "|"),
}
WORDS = [
    "▁",
    "▁▁",
    "▁a",
    "b",
    "##s",
    ".",
    "'",
    "n't",
    "é",
    "c</w>",
    "</w>",
    "<pad>",
    "|",
    "\n",
    "�",
]


def words_with(decoder: Any) -> Library:
    """Return words of every style and single bytes, which `decoder` joins as it likes."""
    some_bytes = [f"<0x{byte:02X}>" for byte in (0x0A, 0x20, 0x41, 0x82, 0xA9, 0xAC, 0xC3, 0xE2)]
    vocab = {word: n for n, word in enumerate(["<s>", "</s>", *WORDS, *some_bytes])}
    library = Library(models.WordLevel(vocab, unk_token="<s>"))
    if decoder is not None:
        library.decoder = decoder
    library.add_special_tokens(["<s>", "</s>"])
    return library


def byte_level_with_prefix() -> Library:
    library = byte_level(["<|im_end|>"])
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return library


def byte_level_in_a_sequence() -> Library:
    library = byte_level(["<|im_end|>"])
    library.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace("a", "x")])
    return library


@cache
def tokenizers() -> dict[str, Tokenizer]:
    libraries = {name: words_with(decoder) for name, decoder in DECODERS.items()}
    libraries |= {name: family() for name, family in FAMILIES.items()} | {"llama2": llama2()}
    libraries["joined-by-spaces"] = words_with(None)
    libraries["byte-level-prefix"] = byte_level_with_prefix()
    libraries["byte-level-sequence"] = byte_level_in_a_sequence()
    own = {"bpe": small_bpe(), "bytes": ByteTokenizer(), "chars": CharTokenizer(" ab\né🎈")}
    read = {n: tokenizer_from_document(json.loads(lib.to_str())) for n, lib in libraries.items()}
    return {**own, **read}


@cache
def library_of(name: str) -> Library:
    return by_library(tokenizers()[name])


LLAMA = ours(llama2())


def difference(decode: Callable[[list[int]], str], before: list[int], new: list[int]) -> str:
    """Return what `new` adds, said plainly: the whole less what was there.

    That is all finished characters, and of an unfinished one what still stands for it.
    """
    whole, there = decode(before + new), decode(before)
    shorter = (decode(before[: len(before) - n]) for n in range(4))
    finished = next((text for text in shorter if not text.endswith(REPLACEMENT)), "")
    common = next(n for n in range(len(there), -1, -1) if whole.startswith(there[:n]))
    return whole[max(common, len(finished)) :]


def fed(tokenizer: Tokenizer, before: list[int], new: list[int]) -> list[str]:
    stream = StreamDecoder(tokenizer, before)
    return [*(stream.feed([token]) for token in new), stream.flush()]


@pytest.mark.parametrize("name", tokenizers())
@given(data=st.data())
def test_pieces_are_the_difference_that_the_library_gives(name: str, data: st.DataObject) -> None:
    tokenizer, library = tokenizers()[name], library_of(name)
    special = set(tokenizer.special_tokens.values())
    ids = st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=20)
    before, new = data.draw(ids), data.draw(ids)

    def decode(some: list[int]) -> str:
        return str(library.decode(some, skip_special_tokens=True))

    shown = [token for token in before if token not in special]
    given, whole = "", difference(decode, shown, new)
    stream = StreamDecoder(tokenizer, before)
    for n, token in enumerate(new, start=1):
        given += stream.feed([token])
        if token not in special and not tokenizer.is_partial(token):  # then nothing is withheld
            assert given == difference(decode, shown, new[:n])
    given += stream.flush()
    assert given == whole
    at_once = StreamDecoder(tokenizer, before)
    assert at_once.feed(new) + at_once.flush() == given


@pytest.mark.parametrize("name", ["llama2", "sentencepiece", "byte-level-sequence", "bpe", "bytes"])
@given(st.text(st.sampled_from("ab é🎈\n"), min_size=1, max_size=40), st.data())
def test_a_text_that_is_cut_anywhere_goes_on(name: str, text: str, data: st.DataObject) -> None:
    """Also inside a character, which then comes whole."""
    tokenizer = tokenizers()[name]
    ids = tokenizer.encode(text)
    at = data.draw(st.integers(0, len(ids)))
    rest = "".join(fed(tokenizer, ids[:at], ids[at:]))
    assert rest == difference(tokenizer.decode, ids[:at], ids[at:])
    assert tokenizer.decode(ids).endswith(rest)
    assert REPLACEMENT not in rest


def test_the_space_between_prompt_and_continuation_is_kept() -> None:
    before, new = LLAMA.encode("the end"), LLAMA.encode("of it")
    assert LLAMA.decode(new) == "of it"
    assert "".join(fed(LLAMA, before, new)) == " of it"
    start = LLAMA.special_tokens["<s>"]
    assert "".join(fed(LLAMA, [start], new)) == "of it"
    assert "".join(fed(LLAMA, [start, *before, start], [start, *new])) == " of it"


@pytest.mark.parametrize("text", ["the cat\n", "🎈é", "\n", " ", "a 🎈\n ", "<0x41>"])
@pytest.mark.parametrize("before", ["", "x", "the cat ", "🎈", "\n", " "])
def test_long_texts_equal_the_whole(text: str, before: str) -> None:
    """Longer than what waits: also of nothing but bytes, and of nothing to see."""
    new, there = LLAMA.encode(text * 300), LLAMA.encode(before * 300)
    assert "".join(fed(LLAMA, there, new)) == difference(LLAMA.decode, there, new)


class Counting(JSONTokenizer):
    """Counts the ids that it decodes."""

    n_decoded = 0

    def decode(self, ids: Iterable[int]) -> str:
        listed = list(ids)
        self.n_decoded += len(listed)
        return super().decode(listed)


@pytest.mark.parametrize("text", ["the cat ", "🎈", "\n", " ", "a 🎈\n "])
@pytest.mark.parametrize("before", ["the ", "🎈", " "])
def test_an_id_costs_the_same_however_many_came_before(text: str, before: str) -> None:
    tokenizer = Counting(json.loads(LLAMA.to_json()))
    new = tokenizer.encode(text * 800)
    new = new[: len(new) // 200 * 200]
    costs: list[list[int]] = []
    for n_before in (100, 800):
        stream = StreamDecoder(tokenizer, tokenizer.encode(before * n_before))
        assert tokenizer.n_decoded < 3 * LONGEST_RUN**2  # also of a prompt of nothing but spaces
        costs.append([])
        for n in range(0, len(new), 200):
            tokenizer.n_decoded = 0
            for token in new[n : n + 200]:
                stream.feed([token])
            costs[-1].append(tokenizer.n_decoded)
        tokenizer.n_decoded = 0
    short, long = costs
    assert max(short + long) <= 1.5 * max(short[:2])
    assert short[-1] == long[-1]
    assert sum(long) <= 10 * len(new) or not text.strip()
