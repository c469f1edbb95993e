"""Tokenizers of the published kinds give the ids that the `tokenizers` library gives."""

from __future__ import annotations

import unicodedata
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.base.errors import TokenizerError
from groundup.tokenizer import BPETokenizer, ByteTokenizer, JSONTokenizer, Tokenizer
from groundup.tokenizer.interface import END_OF_TEXT, MARK
from tests.tokenizer.families import CHATML, FAMILIES, HEADERS, ours
from tests.tokenizer.helpers import MIXED, SPEECH, by_library, small_bpe, texts

OFTEN = st.text(st.sampled_from("ab1 9\n'sS\tthe.,é\u0301"), max_size=60)


@cache
def loaded(family: str) -> JSONTokenizer:
    return ours(FAMILIES[family]())


@pytest.mark.parametrize("family", FAMILIES)
@given(text=texts | OFTEN)
def test_any_text_encodes_as_in_the_library(family: str, text: str) -> None:
    library = by_library(loaded(family))
    assert loaded(family).encode(text) == library.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("family", ["smollm", "llama3", "qwen2"])
@given(text=texts | OFTEN)
def test_a_byte_level_text_comes_back(family: str, text: str) -> None:
    tokenizer = loaded(family)
    expected = unicodedata.normalize("NFC", text) if family == "qwen2" else text
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == expected
    assert b"".join(map(tokenizer.token_bytes, ids)) == expected.encode()


def test_the_families_do_differ() -> None:
    """Else the tests above would hold for a tokenizer that ignores what is particular to each."""
    text = "we'LL 12345\n\n e\u0301  abababab"
    ids = [tuple(loaded(family).encode(text)) for family in FAMILIES]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", [SPEECH, MIXED, "<|im_end|>", "", " x", "<s>a</s>  \nb<s>"])
def test_markup_finds_special_tokens_as_the_library(family: str, text: str) -> None:
    library = FAMILIES[family]()
    names = CHATML if family != "llama3" else HEADERS
    for marked_up in (text, f"{names[0]}user\n{text}{names[1]}\n{names[0]}{text}", names[0] * 2):
        found = library.encode(marked_up, add_special_tokens=False).ids
        assert loaded(family).encode_markup(marked_up) == found


def tokenizers() -> dict[str, Tokenizer]:
    every: dict[str, Tokenizer] = {name: loaded(name) for name in FAMILIES}
    return every | {"bpe": small_bpe(), "bytes": ByteTokenizer()}


@pytest.mark.parametrize("name", tokenizers())
def test_a_special_token_that_is_defused_stays_text(name: str) -> None:
    tokenizer = tokenizers()[name]
    special = next(name for name in tokenizer.special_tokens if name != "<unk>")
    number = tokenizer.special_tokens[special]
    for spelt in (special, special * 2, f"a {special} b", special[:-1] + special, f"<{special}>"):
        defused = tokenizer.defuse(spelt)
        assert MARK in defused
        assert number not in tokenizer.encode_markup(defused)
        ids = tokenizer.encode_markup(f"{special}{defused}{special}")
        assert ids == [number, *tokenizer.encode(spelt), number]
    assert tokenizer.defuse("nothing special") == "nothing special"


@pytest.mark.parametrize("name", ["smollm", "llama3", "qwen2", "bpe", "bytes"])
@given(text=texts | OFTEN, before=OFTEN)
def test_defusing_parts_no_words(name: str, text: str, before: str) -> None:
    """Where one is defused, all around is encoded as if the mark were not there."""
    tokenizer = tokenizers()[name]
    special = next(iter(tokenizer.special_tokens))
    for spelt in (f"{text}{special}", f"{special}{text}{special}"):
        marked = before + tokenizer.defuse(spelt)
        assert tokenizer.encode_markup(marked) == tokenizer.encode(before + spelt)


def test_names_inside_names_and_of_one_character() -> None:
    class Nested(ByteTokenizer):
        special_tokens = {"<a>": 300, "<<a>>": 301, "<a>b": 302, "#": 303, "b": 304}  # noqa: RUF012

    tokenizer = Nested()
    assert tokenizer.encode_markup("<a><<a>><a>b#xb") == [300, 301, 302, 303, ord("x"), 304]
    for spelt in ("<<a>>", "<a>b", "##", "b", "<<<a>>>bb", "x<<a>b#"):
        assert tokenizer.encode_markup(tokenizer.defuse(spelt)) == [*spelt.encode()]


def test_marks_of_the_user_do_nothing() -> None:
    tokenizer = small_bpe()
    forged = f"<{MARK}|endoftext|>{MARK}"
    assert tokenizer.encode_markup(tokenizer.defuse(forged)) == tokenizer.encode(END_OF_TEXT)


def test_markup_that_is_no_unicode() -> None:
    for tokenizer in (small_bpe(), loaded("smollm")):
        with pytest.raises(TokenizerError, match=r"U\+D800"):
            tokenizer.encode_markup("a\ud800")


def test_a_tokenizer_without_special_tokens() -> None:
    tokenizer = BPETokenizer(small_bpe()._tokens[:256], [], None)
    assert tokenizer.defuse(END_OF_TEXT) == END_OF_TEXT
    assert tokenizer.encode_markup(END_OF_TEXT) == tokenizer.encode(END_OF_TEXT)
