"""tiktoken's ids are those of the `tokenizers` library wherever we say so."""

from __future__ import annotations

import json
import random
import time
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.tokenizer import JSONTokenizer, byte_level, json_file, patterns, ranks
from groundup.tokenizer.byte_level import to_chars
from groundup.tokenizer.ranks import RankEncoder
from tests.scale import scaled
from tests.tokenizer.families import FAMILIES, ours
from tests.tokenizer.helpers import MIXED, SPEECH, small_bpe, texts

GPT2 = byte_level.pre_tokenizer(use_regex=True)
DIGITS = {"type": "Digits", "individual_digits": True}


def sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": [*parts]}


def split(pattern: str) -> dict[str, Any]:
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return sequence(cut, byte_level.pre_tokenizer(use_regex=False))


CUTS = {
    "gpt2": GPT2,
    "digits": sequence(DIGITS, GPT2),
    "llama3": split(patterns.LLAMA3),
    "qwen2": split(patterns.QWEN2),
    "tekken": split(patterns.TEKKEN),
    "gpt4o": split(patterns.GPT4O),
}
ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
OFTEN = st.text(
    st.sampled_from("ab19²Ⅷ٣ \n\r\t/'sSſtT.,!é\u0301\u0338>K\u00a0\u2003\u3000\u0085日ǅʰ<tool>"),
    max_size=60,
)


def document(**changes: Any) -> dict[str, Any]:
    """Return a small byte-level BPE with parts of it, or of its model, changed."""
    made: dict[str, Any] = json.loads(small_bpe().to_json())
    for key, value in changes.items():
        (made["model"] if key in made["model"] else made)[key] = value
    return made


@cache
def cut_by(name: str, *, nfc: bool = False, whole: bool = False) -> JSONTokenizer:
    plain = {"id": 700, "content": "<tool>", "special": False, **ADDED}
    added = document()["added_tokens"] + [plain]
    normalizer = {"type": "NFC"} if nfc else None
    return JSONTokenizer(
        document(
            pre_tokenizer=CUTS[name],
            normalizer=normalizer,
            ignore_merges=whole,
            added_tokens=added,
        )
    )


def quick(tokenizer: JSONTokenizer) -> RankEncoder:
    assert tokenizer._fast is not None
    return tokenizer._fast


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("nfc", [False, True])
@given(text=texts | OFTEN, whole=st.booleans())
def test_any_text(name: str, nfc: bool, text: str, whole: bool) -> None:
    tokenizer = cut_by(name, nfc=nfc, whole=whole)
    ids = quick(tokenizer).encode(text)
    expected = tokenizer._encode_by_library(text).tolist()
    if ids is not None:
        assert ids.tolist() == expected
    elif "<tool>" not in text and "<tool>" not in unicodedata.normalize("NFC", text):
        assert name == "digits", "only there a text may be left to the library"
        assert any(unicodedata.category(char) in ("Nd", "Nl", "No", "Cn") for char in text)


@pytest.mark.parametrize("family", ["smollm", "llama3", "qwen2"])
@given(text=texts | OFTEN)
def test_published_families(family: str, text: str) -> None:
    tokenizer = ours(FAMILIES[family]()) if family not in KEPT else KEPT[family]
    KEPT[family] = tokenizer
    ids = quick(tokenizer).encode(text)
    if ids is not None:
        assert ids.tolist() == tokenizer._encode_by_library(text).tolist()


KEPT: dict[str, JSONTokenizer] = {}


def test_other_kinds_are_left_to_the_library() -> None:
    assert ours(FAMILIES["sentencepiece"]())._fast is None


def pair_tokens() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Every two bytes are a token, ranked at random: a cut that moves changes the ids."""
    singles = {to_chars(bytes([byte])): byte for byte in range(256)}
    merges = [(left, right) for left in singles for right in singles]
    random.Random(0).shuffle(merges)
    return singles | {left + right: 256 + n for n, (left, right) in enumerate(merges)}, merges


@cache
def sensitive(name: str) -> JSONTokenizer:
    vocab, merges = pair_tokens()
    return JSONTokenizer(
        document(pre_tokenizer=CUTS[name], vocab=vocab, merges=merges, added_tokens=[])
    )


def surroundings(char: str) -> str:
    return f"{char} a{char}b {char}1{char}' '{char} !{char}\n{char}  {char}A{char}Bb"


def differing(tokenizer: JSONTokenizer, chars: list[str]) -> Iterator[str]:
    """Yield the characters around which the two engines cut differently."""
    text = "\n".join(map(surroundings, chars))
    ids = quick(tokenizer).encode(text)
    if ids is not None and np.array_equal(ids, tokenizer._encode_by_library(text)):
        return
    if len(chars) > 1:
        middle = len(chars) // 2
        yield from differing(tokenizer, chars[:middle])
        yield from differing(tokenizer, chars[middle:])
    elif ids is not None:
        yield chars[0]


def assert_read_alike(name: str, codes: list[int]) -> None:
    chars = [chr(code) for code in codes if not 0xD800 <= code < 0xE000]
    parts = [chars[start : start + 512] for start in range(0, len(chars), 512)]
    found = [char for part in parts for char in differing(sensitive(name), part)]
    assert not found, [f"U+{ord(char):04X}" for char in found]


@pytest.mark.parametrize("name", CUTS)
def test_both_engines_read_a_pattern_alike(name: str) -> None:
    assert_read_alike(name, [*range(0x3100), *range(0xF900, 0x11000, 3), *range(0x1D400, 0x1D800)])


@pytest.mark.slow
@pytest.mark.parametrize("name", CUTS)
def test_both_engines_read_every_character_alike(name: str) -> None:
    codes = [*range(0x32000), *range(0xE0000, 0xE0200)]
    tried = min(len(codes), scaled(len(codes)))
    assert_read_alike(name, random.Random(name).sample(codes, tried))


def test_a_shifted_cut_is_noticed() -> None:
    """The test above can fail: another pattern is told apart at once."""
    tokenizer = sensitive("llama3")
    text = surroundings("ab1234")
    other = ranks.rank_encoding(
        {token: n for n, token in enumerate(map(bytes, _pairs()))}, patterns.QWEN2
    )
    assert ranks.encode_by_rank(other, text).tolist() != tokenizer.encode(text)


def _pairs() -> list[bytes]:
    vocab, _ = pair_tokens()
    return [byte_level.to_bytes(word) for word in vocab]


def every_split(vocab: dict[str, int]) -> list[tuple[str, str]]:
    """List all pairs that make a token, as converters from tiktoken's format do."""
    splits = [
        (n, vocab[word[:at]], vocab[word[at:]], word[:at], word[at:])
        for word, n in vocab.items()
        for at in range(1, len(word))
        if word[:at] in vocab and word[at:] in vocab
    ]
    return [(left, right) for *_, left, right in sorted(splits)]


UNREACHED = {"bc": 256, "ab": 257, "abc": 258}
"""As "bc" is made first, no text comes to "ab" and "c"; but a + bc is a pair, too."""


def bytes_and(words: dict[str, int], **changes: Any) -> JSONTokenizer:
    vocab = {to_chars(bytes([byte])): byte for byte in range(256)} | words
    return JSONTokenizer(document(vocab=vocab, added_tokens=[], **changes))


def test_all_pairs_of_a_token_may_be_listed() -> None:
    vocab = {word: n for word, n in document()["model"]["vocab"].items() if n < 699}
    tokenizer = JSONTokenizer(
        document(vocab=vocab, merges=every_split(vocab), ignore_merges=True, added_tokens=[])
    )
    assert len(every_split(vocab)) > 1.5 * len(small_bpe()._merges)
    chance = random.Random(1)
    for _ in range(300):
        text = "".join(chance.choices("aaabb ", k=200))
        ids = quick(tokenizer).encode(text)
        assert ids is not None
        assert ids.tolist() == tokenizer._encode_by_library(text).tolist()


def test_tokens_that_no_merge_makes() -> None:
    few = [["b", "c"], ["a", "b"], ["ab", "c"]]
    assert bytes_and(UNREACHED, merges=few)._fast is None
    assert bytes_and(UNREACHED, merges=few, ignore_merges=True)._fast is None
    unmade = {"bc": 256, "xyz": 257}
    whole = bytes_and(unmade, merges=[["b", "c"]], ignore_merges=True)
    assert bytes_and(unmade, merges=[["b", "c"]])._fast is None
    for text in ("xyz", "xyzx", " xyz", "bcxyz"):
        ids = quick(whole).encode(text)
        assert ids is not None
        assert ids.tolist() == whole._encode_by_library(text).tolist()
    assert quick(whole).encode("xyz").tolist() == [257]  # type: ignore[union-attr]


SPLIT = CUTS["llama3"]["pretokenizers"][0]
REFUSED: dict[str, dict[str, Any]] = {
    "merges-out-of-order": {"merges": document()["model"]["merges"][::-1]},
    "another-order": {
        "merges": [["a", "b"], ["b", "c"]],
        "vocab": {to_chars(bytes([n])): n for n in range(256)} | {"bc": 256, "ab": 257},
        "added_tokens": [],
    },
    "dropout": {"dropout": 0.1},
    "suffix": {"end_of_word_suffix": "</w>"},
    "normalizer": {"normalizer": {"type": "NFKC"}},
    "no-cut": {"pre_tokenizer": byte_level.pre_tokenizer(use_regex=False)},
    "prefix-space": {"pre_tokenizer": GPT2 | {"add_prefix_space": True}},
    "digits-together": {"pre_tokenizer": sequence(DIGITS | {"individual_digits": False}, GPT2)},
    "unknown-pattern": {"pre_tokenizer": split(r"\p{L}+|\P{L}+")},
    "removed": {
        "pre_tokenizer": sequence(
            SPLIT | {"behavior": "Removed"}, byte_level.pre_tokenizer(use_regex=False)
        )
    },
    "cut-twice": {"pre_tokenizer": sequence(SPLIT, GPT2)},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_is_not_certain_is_left_to_the_library(changes: dict[str, Any]) -> None:
    assert JSONTokenizer(document())._fast is not None
    assert JSONTokenizer(document(**changes))._fast is None


def test_a_special_token_that_a_word_could_spell() -> None:
    special = {"id": 257, "content": "stop", "special": True, **ADDED}
    known = {"bc": 256, "stop": 257}
    vocab = {to_chars(bytes([byte])): byte for byte in range(256)} | known
    for whole in (False, True):
        changed = document(
            vocab=vocab, merges=[["b", "c"]], added_tokens=[special], ignore_merges=whole
        )
        assert JSONTokenizer(changed)._fast is None


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("text", ["a<K>b", "a<\u212a>b", "<K>\u0338", "<K", "<<K>K>"])
def test_an_added_token_that_a_text_spells(
    normalized: bool, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Composing makes a K of the Kelvin sign, and one character of > and a long stroke."""
    added = {"id": 700, "content": "<K>", "special": False, **ADDED, "normalized": normalized}
    tokenizer = JSONTokenizer(
        document(
            pre_tokenizer=CUTS["qwen2"],
            normalizer={"type": "NFC"},
            added_tokens=[*document()["added_tokens"], added],
        )
    )
    monkeypatch.setattr(json_file, "FAST_FROM", 0)
    assert quick(tokenizer)
    assert tokenizer.encode(text) == tokenizer._encode_by_library(text).tolist()


def test_a_digit_that_is_new_to_unicode_is_left_to_the_library() -> None:
    encode = quick(cut_by("digits")).encode
    assert encode("x\U00011de0 1") is None, "a digit since Unicode 17"
    assert encode("x\u0663 1²Ⅷ😀語") is not None
    assert quick(cut_by("gpt2")).encode("x\U00011de0 1") is not None


def test_a_byte_that_no_token_has() -> None:
    vocab = {to_chars(bytes([byte])): byte - (byte > 0xC3) for byte in range(256) if byte != 0xC3}
    tokenizer = JSONTokenizer(
        document(vocab=vocab | {"ab": 255}, merges=[["a", "b"]], added_tokens=[])
    )
    assert quick(tokenizer).encode("é") is None
    assert tokenizer.encode("aéb") == tokenizer._encode_by_library("aéb").tolist()
    assert quick(tokenizer).encode("ab ж").tolist() == tokenizer.encode("ab ж")  # type: ignore[union-attr]


def test_no_text_that_is_not_asked_about_is_composed() -> None:
    normalizer = cut_by("qwen2", nfc=True)._library.normalizer
    spared = "".join(
        char for char in map(chr, range(0x110000)) if not ranks._COMPOSABLE.search(char)
    )
    assert len(spared) > 800
    backwards = spared[::-1]
    for text in (spared, backwards, "".join(a + b for a, b in zip(spared, backwards, strict=True))):
        assert normalizer.normalize_str(text) == text


def test_a_long_text_is_quick_and_a_short_one_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer = ours(FAMILIES["smollm"]())
    asked = []
    encode = RankEncoder.encode

    def counted(self: RankEncoder, text: str) -> Any:
        asked.append(len(text))
        return encode(self, text)

    monkeypatch.setattr(RankEncoder, "encode", counted)
    monkeypatch.setattr(json_file, "FAST_FROM", 3 * len(SPEECH))
    for _ in range(4):
        assert tokenizer.encode(SPEECH) == tokenizer._encode_by_library(SPEECH).tolist()
    assert asked == [len(SPEECH)] * 2


LONG: dict[str, Callable[[int], str]] = {
    "letters": lambda n: "a" * n,
    "spaces": lambda n: " " * n,
    "spaces-word": lambda n: " " * n + "x",
    "lines": lambda n: "\n" * n + "x",
    "marks": lambda n: "!" * n,
    "digits": lambda n: "7" * n,
    "mixed": lambda n: (MIXED * 40 + "\t" * 9000) * (n // 12_000 + 1),
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_megabyte_without_a_pause(name: str, text: Callable[[int], str]) -> None:
    tokenizer = cut_by(name)
    shorter = text(1 << 14)
    ids = tokenizer._fast.encode(shorter)  # type: ignore[union-attr]
    if ids is not None:
        assert ids.tolist() == tokenizer._encode_by_library(shorter).tolist()
    begun = time.process_time()
    assert len(tokenizer.encode_array(text(1 << 20)))
    assert time.process_time() - begun < 20, "seconds for a megabyte"
