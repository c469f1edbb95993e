"""Which token ends a text: as asked, as the tokenizer's own files say, or by its name."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import RunError, TokenizerError, UsageError
from groundup.tokenizer import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    build_tokenizer,
    load_tokenizer,
    tokenizer_from_document,
)
from groundup.tokenizer.end import named_tokens, with_asked_end, with_found_end
from tests.tokenizer.families import FAMILIES
from tests.tokenizer.helpers import SPEECH, small_bpe


def document(special: Sequence[str], ordinary: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of a tokenizer.json of characters, its added tokens the first ids."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    names = [*special, *ordinary]
    added = [
        {"id": n, "content": name, **flags, "special": name in special}
        for n, name in enumerate(names)
    ]
    letters = "abcdefghijklmnopqrstuvwxyz <|>_/"
    vocab = {name: n for n, name in enumerate([*names, *letters])}
    return {
        "version": "1.0",
        "added_tokens": added,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }


def tokenizer_of(special: Sequence[str], ordinary: Sequence[str] = ()) -> Tokenizer:
    return tokenizer_from_document(document(special, ordinary))


FOUND: dict[str, tuple[list[str], dict[str, str | None], list[int], str | None]] = {
    "named by its files": (["<a>", "<b>"], {"eos_token": "<b>"}, [], "<b>"),
    "named otherwise than usual": (["<|endoftext|>", "<b>"], {"eos_token": "<b>"}, [], "<b>"),
    "a turn's end gives way": (
        ["<|im_end|>", "<|endoftext|>"], {"eos_token": "<|im_end|>"}, [], "<|endoftext|>"),
    "a turn's end is better than none": (
        ["<|im_start|>", "<|im_end|>"],
        {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}, [], "<|im_end|>"),
    "llama 3": (
        ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
        {"eos_token": "<|eot_id|>"}, [], "<|end_of_text|>"),
    "gemma": (["<bos>", "<eos>", "<end_of_turn>"], {"eos_token": "<end_of_turn>"}, [], "<eos>"),
    "by its name": (["<|pad|>", "<|eos|>"], {}, [], "<|eos|>"),
    "sentencepiece": (["<unk>", "<s>", "</s>"], {}, [], "</s>"),
    "known of the model": (["<x>", "<y>"], {}, [1], "<y>"),
    "known of the model, twice": (["<|im_end|>", "<y>"], {}, [0, 1], "<|im_end|>"),
    "known beyond the vocabulary": (["<x>", "<y>"], {}, [999], None),
    "what begins texts parts them": (["<|bos|>", "<|user_start|>"], {}, [], "<|bos|>"),
    "as the files say": (["<p>", "<q>"], {"bos_token": "<q>", "eos_token": None}, [], "<q>"),
    "named, but no token": (["<p>", "<q>"], {"eos_token": "<r>"}, [], None),
    "nothing": (["<p>", "<q>"], {}, [], None),
    "settings of another model": (["<pad>", "[UNK]"], {}, [0, 1], None),
    "padding that begins texts": (["<|pad|>", "<q>"], {"bos_token": "<|pad|>"}, [], None),
    "padding that is said to end them": (["<pad>", "<q>"], {"eos_token": "<pad>"}, [], "<pad>"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_where_the_end_is_found(case: str) -> None:
    special, named, known, expected = FOUND[case]
    found = with_found_end(tokenizer_of(special), named, known)
    assert found.end_of_text == (None if expected is None else special.index(expected))
    assert ("no token ends" if expected is None else f"ends with {expected} ") in found.ending_rule


@pytest.mark.parametrize("name", ["<pad>", "[PAD]", "<unk>", "<mask>", "<image>", "<|user|>"])
def test_the_only_special_token_ends_no_text_unless_it_is_called_so(name: str) -> None:
    made = BPETokenizer([bytes([n]) for n in range(256)], [], name)
    assert (made.end_of_text, made.given_end) == (256, 256)
    back = tokenizer_from_document(json.loads(made.to_json()))
    assert isinstance(back, BPETokenizer)
    assert back.fingerprint == made.fingerprint
    assert (back.end_of_text, back.given_end) == (None, None)
    assert with_found_end(back, {}).end_of_text is None
    assert with_asked_end(back, name).end_of_text == 256


@pytest.mark.parametrize("name", ["<|endoftext|>", "</s>", "<|eos|>", "<END>"])
def test_the_only_special_token_that_is_called_an_end_is_one(name: str) -> None:
    made = BPETokenizer([bytes([n]) for n in range(256)], [], name)
    back = tokenizer_from_document(json.loads(made.to_json()))
    assert (back.end_of_text, back.given_end) == (made.end_of_text, made.given_end) == (256, None)


def test_an_ordinary_added_token_that_ends_texts_is_never_typed() -> None:
    tokenizer = tokenizer_of(["<p>", "<q>"], ["<stop>"])
    assert tokenizer.encode("a<stop>")[-1] == 2
    ended = with_found_end(tokenizer, {"eos_token": "<stop>"})
    assert ended.end_of_text == 2
    assert 2 not in ended.encode("a<stop>")
    assert ended.decode([2]) == ""


@pytest.mark.parametrize(
    ("tokenizer", "asked", "expected"),
    [
        (CharTokenizer("\nabc"), "\n", 0),
        (CharTokenizer("\nabc"), "3", 3),
        (ByteTokenizer(), "\n", 10),
        (ByteTokenizer(), "<|endoftext|>", 256),
        (small_bpe(), "resolved", None),
        (small_bpe(), "\n", small_bpe().encode("\n")[0]),
        (tokenizer_of(["<p>", "<q>"], ["<stop>"]), "<q>", 1),
        (tokenizer_of(["<p>", "<q>"], ["<stop>"]), "<stop>", 2),
        (tokenizer_of(["<p>", "<q>"]), "<qq>", "did you mean <q>, <p>?"),
        (tokenizer_of(["<p>", "<q>"]), "z7", "special tokens: <p>, <q>"),
        (tokenizer_of(["<p>", "<q>"]), "99", "expected a token id from 0 to 33"),
        (tokenizer_of(["<p>", "<q>"]), "", "no token of this tokenizer"),
        (CharTokenizer("abc"), "z", "is not among the 3 characters"),
        (CharTokenizer("abc"), "ab", "special tokens: none"),
    ],
)
def test_an_end_that_is_asked_for(
    tokenizer: Tokenizer, asked: str, expected: int | str | None
) -> None:
    if isinstance(expected, str):
        with pytest.raises(UsageError) as caught:
            with_asked_end(tokenizer, asked)
        assert str(caught.value).startswith("--end-of-text ")
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)
    elif expected is not None:
        ended = with_asked_end(tokenizer, asked)
        assert ended.end_of_text == expected
        assert ended.given_end == (None if expected == tokenizer.end_of_text else expected)


@pytest.mark.parametrize("kind", ["chars", "bytes", "bpe", *FAMILIES])
def test_a_given_end_changes_nothing_else(kind: str) -> None:
    made = {"chars": lambda: CharTokenizer.train([SPEECH]), "bytes": ByteTokenizer}
    made["bpe"] = small_bpe
    tokenizer = (
        made[kind]()
        if kind in made
        else tokenizer_from_document(json.loads(FAMILIES[kind]().to_str()))
    )
    text = "First Citizen:\nhear me" if kind != "sentencepiece" else "hear me"
    ended = tokenizer.ending(7)
    assert (ended.end_of_text, ended.given_end) == (7, 7)
    assert type(ended) is type(tokenizer)
    assert ended.to_json() == tokenizer.to_json()
    assert ended.fingerprint == tokenizer.fingerprint
    assert ended.encode(text) == tokenizer.encode(text)
    assert ended.decode(ended.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    assert pickle.loads(pickle.dumps(ended)).end_of_text == 7
    if tokenizer.end_of_text is not None:
        assert tokenizer.ending(tokenizer.end_of_text) is tokenizer
        assert tokenizer.given_end is None
    for wrong in (-1, tokenizer.vocab_size, True, "7"):
        with pytest.raises(TokenizerError, match="expected a token id from 0 to"):
            tokenizer.ending(wrong)  # type: ignore[arg-type]


def test_a_file_alone_is_read_as_ever_and_built_with_what_stands_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document(["<p>", "<q>"])))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<q>"}))
    assert load_tokenizer(path).end_of_text is None
    assert build_tokenizer(str(path), list, 0).end_of_text == 1
    assert build_tokenizer(str(path), list, 0, end_of_text="<p>").end_of_text == 0
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(RunError, match=r"tokenizer_config\.json: expected JSON"):
        build_tokenizer(str(path), list, 0)
    assert build_tokenizer(str(path), list, 0, end_of_text="<p>").end_of_text == 0


ADDED = {"content": "<q>", "lstrip": False, "rstrip": False}


@pytest.mark.parametrize(
    ("config", "older", "expected"),
    [
        ({"bos_token": "<p>", "eos_token": ADDED, "pad_token": None, "model_max_length": 9}, None,
         {"bos_token": "<p>", "eos_token": "<q>", "pad_token": None}),
        ({"bos_token": "<p>"}, {"bos_token": "<q>", "unk_token": ADDED},
         {"bos_token": "<q>", "unk_token": "<q>"}),
        ({"bos_token": "<p>", "added_tokens_decoder": {}}, {"bos_token": "<q>"},
         {"bos_token": "<p>"}),
        (None, {"eos_token": "<q>"}, {"eos_token": "<q>"}),
        (None, None, {}),
    ],
)  # fmt: skip
def test_what_the_files_name(
    tmp_path: Path, config: Any, older: Any, expected: dict[str, str | None]
) -> None:
    for name, values in (("tokenizer_config", config), ("special_tokens_map", older)):
        if values is not None:
            (tmp_path / f"{name}.json").write_text(json.dumps(values))
    assert named_tokens(tmp_path) == (expected, [])


@pytest.mark.parametrize("value", [3, True, ["<p>"], {"content": 5}])
def test_a_name_that_is_no_text_is_told(tmp_path: Path, value: Any) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": value}))
    found, (notice,) = named_tokens(tmp_path)
    assert found == {}
    assert "tokenizer_config.json: eos_token = " in notice
