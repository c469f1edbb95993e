"""Special tokens that come later: texts keep their ids, and turns get some of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from tokenizers import Tokenizer as Library

from groundup.base.errors import TokenizerError
from groundup.tokenizer import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    JSONTokenizer,
    Tokenizer,
    build_tokenizer,
    load_tokenizer,
    with_special_tokens,
)
from tests.tokenizer.families import FAMILIES, llama2, metaspace, ours
from tests.tokenizer.helpers import SPEECH, by_library, small_bpe, texts

NAMES = ["<|turn|>", "<|im_end|>"]
KINDS: dict[str, Callable[[], Tokenizer]] = {
    "bpe": small_bpe,
    "bytes": ByteTokenizer,
    "chars": lambda: CharTokenizer.train([SPEECH, "<|>_"]),
    "skipping": lambda: CharTokenizer("aehst ", "skip"),
    **{name: partial(lambda make: ours(make()), make) for name, make in FAMILIES.items()},
    "llama2": lambda: ours(llama2()),
    "metaspace": lambda: ours(metaspace()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_keeps_its_ids(kind: str) -> None:
    tokenizer = KINDS[kind]()
    more = with_special_tokens(tokenizer, NAMES)
    typed = f"{SPEECH}the {NAMES[1]}" if kind != "metaspace" else "the old king"
    assert more.encode(typed) == tokenizer.encode(typed)
    assert more.decode(more.encode(SPEECH[:40])) == tokenizer.decode(tokenizer.encode(SPEECH[:40]))
    new = [name for name in NAMES if name not in tokenizer.special_tokens]
    ids = range(tokenizer.vocab_size, tokenizer.vocab_size + len(new))
    assert [more.special_tokens[name] for name in new] == list(ids)
    assert more.vocab_size == tokenizer.vocab_size + len(new)
    assert tokenizer.special_tokens.items() <= more.special_tokens.items()
    if tokenizer.end_of_text is not None:
        assert more.end_of_text == tokenizer.end_of_text


@pytest.mark.parametrize("kind", KINDS)
def test_markup_finds_them_whole_and_they_decode_to_nothing(kind: str) -> None:
    more = with_special_tokens(KINDS[kind](), NAMES)
    turn, end = (more.special_tokens[name] for name in NAMES)
    ids = more.encode_markup("<|turn|>the<|im_end|><|turn|>")
    assert (ids[0], ids[-2:]) == (turn, [end, turn])
    assert not {turn, end} & set(ids[1:-2])
    assert more.decode(ids).strip() == "the"
    forged = more.encode_markup(f"<|turn|>{more.defuse('<|turn|>')}the<|im_end|>")
    assert forged.count(turn) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_there_after_saving(kind: str, tmp_path: Path) -> None:
    more = with_special_tokens(KINDS[kind](), NAMES)
    more.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert again.special_tokens == more.special_tokens
    assert again.fingerprint == more.fingerprint
    assert with_special_tokens(again, NAMES) is again


@settings(max_examples=40)
@given(texts)
def test_bytes_and_pairs_keep_their_ids_for_any_text(text: str) -> None:
    for tokenizer, more in PAIRS:
        assert more.encode(text) == tokenizer.encode(text)
        assert more.decode(more.encode(text)) == text


PAIRS = [(t, with_special_tokens(t, NAMES)) for t in (small_bpe(), ByteTokenizer())]


def test_a_token_of_the_vocabulary_becomes_special_with_its_id() -> None:
    tokenizer = ours(FAMILIES["qwen2"]())
    think = tokenizer.added_tokens["<think>"]
    assert tokenizer.encode("<think>") == [think]
    more = with_special_tokens(tokenizer, ["<think>", "<|new|>"])
    assert more.special_tokens["<think>"] == think
    assert more.special_tokens["<|new|>"] == tokenizer.vocab_size
    assert think not in more.encode("<think>")


def test_the_end_of_text_stays_whatever_is_added() -> None:
    """Also one that was given, before a new token that is called like an end."""
    given_end = ByteTokenizer().ending(10)
    assert with_special_tokens(given_end, ["</s>"]).end_of_text == 10
    no_end = CharTokenizer("ab")
    assert with_special_tokens(no_end, ["<|im_end|>"]).end_of_text == 2
    assert with_special_tokens(no_end, ["<|turn|>"]).end_of_text is None


def test_one_special_token_is_all_that_a_plain_bpe_can_hold() -> None:
    document = json.loads(small_bpe().to_json())
    words = {word: n for word, n in document["model"]["vocab"].items() if n < 699}
    assert len(words) == 699
    assert isinstance(small_bpe(), BPETokenizer)
    assert isinstance(with_special_tokens(small_bpe(), NAMES), JSONTokenizer)


def test_characters_stay_characters(tmp_path: Path) -> None:
    for unknown in ("error", "skip"):
        more = with_special_tokens(CharTokenizer("abc", unknown), NAMES)
        more.save(tmp_path / "tokenizer.json")
        for tokenizer in (more, load_tokenizer(tmp_path / "tokenizer.json")):
            assert isinstance(tokenizer, CharTokenizer)
            assert (tokenizer.unknown, tokenizer.vocab_size) == (unknown, 5)
            assert tokenizer.decode([0, 3, 2, 4]) == "ac"
            assert tokenizer.token_bytes(4) == b""
            library = by_library(tokenizer)
            assert library.encode("cab").ids == tokenizer.encode("cab")
            assert Library.from_str(tokenizer.to_json()).encode("a<|turn|>b").ids == [0, 3, 1]
        skipping = build_tokenizer(str(tmp_path / "tokenizer.json"), list, 300, "skip")
        assert skipping.special_tokens == more.special_tokens
        assert skipping.encode("axb") == [0, 1]
    with pytest.raises(TokenizerError, match="among the 3 characters"):
        with_special_tokens(CharTokenizer("abc"), NAMES).encode("abx")

    for twice in (["<a>", "<a>"], ["b"]):
        with pytest.raises(TokenizerError, match="named twice"):
            CharTokenizer("abc", special=twice)
    ordinary = with_special_tokens(CharTokenizer("abc"), ["b"])
    assert ordinary.special_tokens == {"b": 1}


@pytest.mark.parametrize("name", ["", "  ", "x" * 2000, 3])
def test_a_name_that_no_token_can_have_is_refused(name: str) -> None:
    with pytest.raises(TokenizerError, match=r"special token .*: expected a name of 1 to 1,024"):
        with_special_tokens(ByteTokenizer(), [name])
