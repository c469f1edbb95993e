from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.base.errors import TokenizerError
from groundup.tokenizer import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    JSONTokenizer,
    StreamDecoder,
    Tokenizer,
    load_tokenizer,
)
from tests.tokenizer.helpers import MIXED, SPEECH, by_library, small_bpe, texts


@given(texts)
def test_bpe_round_trip_and_equality_with_the_library(text: str) -> None:
    bpe = small_bpe()
    ids = bpe.encode(text)
    assert bpe.decode(ids) == text
    assert ids == by_library(bpe).encode(text).ids


@given(st.text(st.sampled_from("ab"), max_size=300))
def test_overlapping_merges_equal_the_library(text: str) -> None:
    assert small_bpe().encode(text) == by_library(small_bpe()).encode(text).ids


@given(texts)
def test_bytes_round_trip_and_equality_with_the_library(text: str) -> None:
    ids = ByteTokenizer().encode(text)
    assert ids == list(text.encode())
    assert ByteTokenizer().decode(ids) == text
    assert ids == by_library(ByteTokenizer()).encode(text).ids


@given(st.binary(max_size=300))
def test_every_byte_sequence_round_trips(data: bytes) -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data
    assert tokenizer.decode([*data]) == data.decode("utf-8", errors="replace")


@given(texts.filter(bool), texts)
def test_characters_round_trip_and_equality_with_the_library(text: str, other: str) -> None:
    chars = CharTokenizer.train([text])
    assert chars.vocab_size == len(set(text))
    assert chars.decode(chars.encode(text)) == text
    assert chars.encode(text) == by_library(chars).encode(text).ids
    skips = CharTokenizer(chars.alphabet, "skip")
    assert skips.decode(skips.encode(other)) == "".join(c for c in other if c in text)
    assert skips.encode(other) == by_library(skips).encode(other).ids


def test_ids_do_not_depend_on_the_path_taken() -> None:
    for tokenizer in (small_bpe(), ByteTokenizer(), CharTokenizer.train([MIXED])):
        array = tokenizer.encode_array(MIXED)
        assert array.dtype == np.uint32
        assert array.tolist() == tokenizer.encode(MIXED)
        assert tokenizer.decode(array) == tokenizer.decode(iter(tokenizer.encode(MIXED))) == MIXED
        assert b"".join(map(tokenizer.token_bytes, array)) == MIXED.encode()
        assert pickle.loads(pickle.dumps(tokenizer)).encode(MIXED) == tokenizer.encode(MIXED)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 2**20,
        "日本語文字" * (2**20 // 5),
        " " * 2**20,
        " " * 2**20 + "x",
        "x" + "\n\t" * 2**20 + " y" + "\u2003" * 5000 + "'s  z",
        "!" * 2**20,
    ],
    ids=["letters", "cjk", "spaces", "spaces-word", "mixed-white", "marks"],
)
def test_a_megabyte_without_a_pause(text: str) -> None:
    bpe = small_bpe()
    assert bpe.decode(bpe.encode_array(text)) == text


def test_long_white_space_is_cut_where_the_pattern_cuts() -> None:
    bpe = small_bpe()
    encode, long = bpe._encode, " \n" * 5000

    def gives_up(text: str) -> object:
        if len(text) > 10_100:
            raise ValueError("Max stack size exceeded for backtracking")
        return encode(text)

    for text in (f"a{long}b", f"{long}b", f"a{long}", f"a{long}'s {long}\x1c{long}  c"):
        whole = encode(text).tolist()
        bpe.__dict__["_encode"] = gives_up
        try:
            assert bpe.encode(text) == whole
        finally:
            del bpe.__dict__["_encode"]


def test_threads_give_the_same_ids() -> None:
    bpe = small_bpe()
    many = [SPEECH * n for n in range(1, 30)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(bpe.encode, many)) == [bpe.encode(text) for text in many]


@pytest.mark.parametrize("tokenizer", [small_bpe(), ByteTokenizer(), CharTokenizer("ab")], ids=repr)
def test_a_lone_surrogate_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"U\+D800 at position 2"):
        tokenizer.encode("ab\ud800")
    with pytest.raises(TokenizerError, match=r"U\+D800"):
        BPETokenizer.train(["ab\ud800"], 300)


@pytest.mark.parametrize("tokenizer", [small_bpe(), ByteTokenizer(), CharTokenizer("ab")], ids=repr)
@pytest.mark.parametrize("wrong", [-1, "size", 2**40])
def test_ids_of_another_tokenizer_are_refused(tokenizer: Tokenizer, wrong: int | str) -> None:
    token = tokenizer.vocab_size if wrong == "size" else int(wrong)
    for call in (tokenizer.decode, tokenizer.decode_bytes):
        with pytest.raises(TokenizerError, match=f"token id {token}: expected 0 to"):
            call([0, token])
    with pytest.raises(TokenizerError, match=f"token id {token}"):
        tokenizer.token_bytes(token)


def test_an_unseen_character_is_named() -> None:
    with pytest.raises(TokenizerError, match=r"'é' \(U\+00E9\) at position 3 .* 2 characters"):
        CharTokenizer.train(["abba"]).encode("abaéb")
    with pytest.raises(TokenizerError, match="😀"):
        CharTokenizer.train(["abba"]).encode("😀")


@given(texts, st.randoms(use_true_random=False))
def test_a_stream_gives_the_whole_and_never_a_cut_character(text: str, chance: object) -> None:
    for tokenizer in (small_bpe(), ByteTokenizer()):
        stream = StreamDecoder(tokenizer)
        parts = [stream.feed([token]) for token in tokenizer.encode(text)]
        assert "".join(parts) == text
        assert all("\ufffd" not in part or "\ufffd" in text for part in parts)
        assert stream.flush() == ""


@given(st.lists(st.integers(0, 256), max_size=40), st.integers(1, 5))
def test_a_stream_of_anything_equals_the_whole(ids: list[int], step: int) -> None:
    tokenizer = ByteTokenizer()
    stream = StreamDecoder(tokenizer)
    for _ in range(2):
        parts = [stream.feed(ids[n : n + step]) for n in range(0, len(ids), step)]
        assert "".join(parts) + stream.flush() == tokenizer.decode(ids)


def test_saved_and_loaded_are_the_same(tmp_path: Path) -> None:
    for tokenizer in (
        small_bpe(),
        BPETokenizer(small_bpe()._tokens[:256], [], None),
        ByteTokenizer(),
        CharTokenizer("ba\n😀"),
        CharTokenizer("xy", "skip"),
    ):
        path = tmp_path / "tokenizer.json"
        tokenizer.save(path)
        loaded = load_tokenizer(path)
        assert type(loaded) is type(tokenizer)
        assert repr(loaded) == repr(tokenizer)
        assert loaded.fingerprint == tokenizer.fingerprint
        assert path.read_text(encoding="utf-8") == loaded.to_json() == tokenizer.to_json()
        assert getattr(loaded, "unknown", None) == getattr(tokenizer, "unknown", None)
    assert not isinstance(load_tokenizer(path), JSONTokenizer)
