"""At which characters each id stands, against the bytes of the tokens themselves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from tokenizers import Tokenizer as Library
from tokenizers import processors

from groundup.base.errors import TokenizerError
from groundup.tokenizer import (
    ByteTokenizer,
    CharTokenizer,
    JSONTokenizer,
    Tokenizer,
    with_special_tokens,
)
from groundup.tokenizer.interface import MARK
from tests.tokenizer.families import FAMILIES, llama2, metaspace, ours
from tests.tokenizer.helpers import MIXED, SPEECH, small_bpe, texts
from tests.tokenizer.test_json_file import unigram

CHATML = ["<|im_start|>", "<|im_end|>"]
NAMES = [*CHATML, "<|endoftext|>", "</s>", "<|eot_id|>"]


def trimming() -> Library:
    """Return a byte-level BPE whose file has the library leave spaces out of what it says."""
    library = Library.from_str(FAMILIES["smollm"]().to_str())
    library.post_processor = processors.ByteLevel(trim_offsets=True)
    return library


BY_BYTES: dict[str, Tokenizer] = {
    "bpe": small_bpe(),
    "bytes": ByteTokenizer(),
    "smollm": ours(FAMILIES["smollm"]()),
    "llama3": ours(FAMILIES["llama3"]()),
    "trimming": ours(trimming()),
    "grown": with_special_tokens(small_bpe(), CHATML),
}
"""Tokenizers whose tokens, joined, are the text."""
OTHERS: dict[str, Tokenizer] = {
    "qwen2": ours(FAMILIES["qwen2"]()),
    "sentencepiece": ours(FAMILIES["sentencepiece"]()),
    "llama2": ours(llama2()),
    "metaspace": ours(metaspace()),
    "skipping": CharTokenizer("aehst \n<|>_", "skip"),
}
few = settings(max_examples=40)
marked = texts.flatmap(lambda text: texts.map(lambda more: f"{text}<|im_end|>\n{more}</s> {text}"))


def by_bytes(tokenizer: Tokenizer, text: str, ids: list[int]) -> list[tuple[int, int]]:
    """Where ids stand, found byte by byte; `text` has no marks."""
    owner = [n for n, char in enumerate(text) for _ in char.encode()]
    names = {token: name for name, token in tokenizer.added_tokens.items()}
    spans, at = [], 0
    for token in ids:
        n = len(names[token].encode()) if token in names else len(tokenizer.token_bytes(token))
        spans.append((owner[at], owner[at + n - 1] + 1))
        at += n
    assert at == len(owner)
    return spans


@pytest.mark.parametrize("name", BY_BYTES)
@few
@given(marked)
def test_each_id_is_of_the_characters_whose_bytes_it_has(name: str, text: str) -> None:
    tokenizer = BY_BYTES[name]
    for encoded, found in (
        (tokenizer.encode(text), tokenizer.encode_spans(text)),
        (tokenizer.encode_markup(text), tokenizer.markup_spans(text)),
    ):
        ids, spans = found
        assert ids.tolist() == encoded
        assert [*map(tuple, spans.tolist())] == by_bytes(tokenizer, text, encoded)


@pytest.mark.parametrize("name", [*BY_BYTES, *OTHERS])
@few
@given(texts)
def test_marks_move_the_places_and_nothing_else(name: str, text: str) -> None:
    tokenizer = (BY_BYTES | OTHERS)[name]
    given_text = "".join(f"{tokenizer.defuse(one + text)}{one}" for one in NAMES)
    ids, spans = tokenizer.markup_spans(given_text)
    assert ids.tolist() == tokenizer.encode_markup(given_text)
    assert spans.shape == (len(ids), 2)
    assert (spans[:, 0] <= spans[:, 1]).all()
    specials = {token: special for special, token in tokenizer.special_tokens.items()}
    for token, (begin, end) in zip(ids.tolist(), spans.tolist(), strict=True):
        part = given_text[begin:end]
        assert not part.startswith(MARK)
        if token in specials and part:
            assert part in (specials[token], "") or token == tokenizer.special_tokens.get("<unk>")


@pytest.mark.parametrize("name", OTHERS)
@few
@given(marked)
def test_those_that_alter_texts_say_what_the_library_says(name: str, text: str) -> None:
    tokenizer = OTHERS[name]
    ids, spans = tokenizer.markup_spans(text)
    assert ids.tolist() == tokenizer.encode_markup(text)
    if isinstance(tokenizer, JSONTokenizer):
        found = Library.from_str(tokenizer.to_json()).encode(text, add_special_tokens=False)
        assert [*map(tuple, spans.tolist())] == found.offsets
    assert tokenizer.encode_spans(text)[0].tolist() == tokenizer.encode(text)


@few
@given(texts)
def test_characters_that_are_skipped_belong_to_no_id(text: str) -> None:
    tokenizer = CharTokenizer("ab ", "skip")
    ids, spans = tokenizer.encode_spans(text)
    assert [text[begin:end] for begin, end in spans] == [tokenizer.decode([n]) for n in ids]
    strict = CharTokenizer.train([text or "a"])
    assert strict.encode_spans(text)[1][:, 0].tolist() == list(range(len(text)))
    with pytest.raises(TokenizerError, match="not among"):
        CharTokenizer("a").encode_spans("ab")


def test_a_part_of_a_character_spans_it() -> None:
    ids, spans = ByteTokenizer().encode_spans("aé😀")
    assert len(ids) == 7
    assert spans.tolist() == [[0, 1], [1, 2], [1, 2], *[[2, 3]] * 4]


def test_a_special_token_takes_the_space_that_its_file_says() -> None:
    text = "<|im_start|>  the<|im_end|> \n the"
    _, spans = OTHERS["sentencepiece"].markup_spans(text)
    shown = [text[begin:end] for begin, end in spans]
    assert shown == ["<|im_start|>  ", "t", "he", "<|im_end|> \n ", "t", "he"]


def test_a_name_among_the_words_of_a_vocabulary_is_spelt_in_its_place() -> None:
    tokenizer = JSONTokenizer(json.loads(unigram().to_str()))
    text = "the </s> end"
    ids, spans = tokenizer.encode_spans(text)
    assert ids.tolist() == tokenizer.encode(text)
    assert "".join(dict.fromkeys(text[b:e] for b, e in spans if text[b:e] in "</s>")) == "</s>"


@pytest.mark.parametrize("tokenizer", [*BY_BYTES.values(), *OTHERS.values()], ids=str)
def test_an_empty_text_has_no_places(tokenizer: Tokenizer) -> None:
    for find in (tokenizer.encode_spans, tokenizer.markup_spans):
        ids, spans = find("")
        assert ids.shape == (0,)
        assert spans.shape == (0, 2)


def test_a_long_text_is_told_as_it_is_encoded() -> None:
    """Past the length from which a quicker encoder takes over."""
    tokenizer, text = (
        ours(FAMILIES["smollm"]()),
        (SPEECH + MIXED.replace("<|endoftext|>", "")) * 1200,
    )
    tokenizer.encode(text)
    ids, spans = tokenizer.encode_spans(text)
    assert ids.tolist() == tokenizer.encode(text)
    assert spans[-1, 1] == len(text)
