"""Tokenizers into GGUF's metadata and back: the same ids for any text."""

from __future__ import annotations

import functools
import itertools
import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.base.errors import TokenizerError
from groundup.tokenizer import ByteTokenizer, CharTokenizer, Tokenizer, tokenizer_from_document
from groundup.weights.gguf import sentencepiece
from groundup.weights.gguf.header import Header
from groundup.weights.gguf.pre_tokenizers import PRE_TOKENIZERS, SYNONYMS
from groundup.weights.gguf.tokenizer import GGUFTokenizer, read_tokenizer
from groundup.weights.gguf.tokenizer_write import tokenizer_metadata
from tests.weights.gguf.making import TEXTS, byte_level, scored

GGML = "tokenizer.ggml."


def read(metadata: dict[str, Any], vocab_size: int) -> GGUFTokenizer:
    arrays = {
        key: np.array(value) if isinstance(value, list) and type(value[0]) is not str else value
        for key, value in metadata.items()
    }
    return read_tokenizer(Header(Path("a.gguf"), arrays, {}), vocab_size)


def there_and_back(tokenizer: Tokenizer, spare: int = 0, **generation: Any) -> GGUFTokenizer:
    vocab_size = tokenizer.vocab_size + spare
    metadata, _ = tokenizer_metadata(tokenizer, vocab_size, generation)
    return read(metadata, vocab_size)


def metadata_of(tokenizer: Tokenizer, **changes: Any) -> dict[str, Any]:
    metadata, _ = tokenizer_metadata(tokenizer, tokenizer.vocab_size, {})
    return metadata | {GGML + key: value for key, value in changes.items()}


def refusal(metadata: dict[str, Any], vocab_size: int = 1000) -> str:
    with pytest.raises(TokenizerError) as caught:
        read(metadata, vocab_size)
    assert "\n" not in str(caught.value)
    assert "a.gguf" in str(caught.value)
    return str(caught.value)


@functools.cache
def returned(split: str) -> Tokenizer:
    back = there_and_back(byte_level(split), spare=3).tokenizer
    assert back is not None
    return back


@pytest.mark.parametrize("split", PRE_TOKENIZERS)
@settings(max_examples=60)
@given(text=st.text())
def test_byte_level_encodes_any_text_the_same_after_a_round_trip(split: str, text: str) -> None:
    assert returned(split).encode(text) == byte_level(split).encode(text)


@pytest.mark.parametrize("split", PRE_TOKENIZERS)
def test_byte_level_comes_back(split: str) -> None:
    tokenizer, back = byte_level(split), returned(split)
    assert (back.vocab_size, back.end_of_text) == (tokenizer.vocab_size, tokenizer.end_of_text)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert back.encode(text) == ids
        assert back.decode(ids) == tokenizer.decode(ids)


def test_a_trained_bpe_comes_back_as_itself() -> None:
    tokenizer = byte_level("gpt-2")
    back = there_and_back(tokenizer).tokenizer
    assert back is not None
    assert back.fingerprint == tokenizer.fingerprint


def test_splits_differ_where_they_should() -> None:
    """What each name stands for, on a text that tells them apart."""
    cut = {name: pieces(name, "it's 12345 DON'T\nHTTPServer x/") for name in PRE_TOKENIZERS}
    assert cut["gpt-2"][:3] == ["it", "'s", " 12345"]
    assert cut["smollm"][2:8] == [" ", "1", "2", "3", "4", "5"]
    assert cut["llama-bpe"][2:5] == [" ", "123", "45"]
    assert cut["qwen2"][2:8] == [" ", "1", "2", "3", "4", "5"]
    assert " DON" in cut["llama-bpe"]
    assert "'T" in cut["llama-bpe"]
    assert cut["gpt-2"][3:6] == [" DON", "'", "T"]
    assert cut["gpt-4o"][:3] == ["it's", " ", "123"]
    assert cut["tekken"][2:4] == [" ", "1"]
    assert " DON'T" in cut["gpt-4o"]
    assert "HTTPServer" in cut["gpt-2"]
    assert cut["seed-coder"][2:8] == [" ", "1", "2", "3", "4", "5"]
    assert cut["tekken"][-2:] == [" x", "/"]


def pieces(split: str, text: str) -> list[str]:
    from tokenizers import Tokenizer as Library

    document = json.loads(byte_level("gpt-2").to_json())
    document["pre_tokenizer"] = PRE_TOKENIZERS[split].pre_tokenizer
    library = Library.from_str(json.dumps(document))
    cut = library.pre_tokenizer.pre_tokenize_str(text)
    return [piece.replace("Ġ", " ").replace("Ċ", "\n") for piece, _ in cut]


@pytest.mark.parametrize("name", SYNONYMS)
def test_synonyms_read_as_what_they_stand_for(name: str) -> None:
    tokenizer = byte_level(SYNONYMS[name])
    back = read(metadata_of(tokenizer, pre=name), 1000).tokenizer
    assert back is not None
    for text in TEXTS:
        assert back.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("name", ["default", ""])
def test_a_file_that_names_no_split_gets_gpt2s_and_says_so(name: str) -> None:
    words = read(metadata_of(byte_level("gpt-2"), pre=name), 1000)
    assert words.tokenizer is not None
    assert words.tokenizer.fingerprint == byte_level("gpt-2").fingerprint
    assert "GPT-2's" in words.notices[0]


SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>")


def test_special_tokens_say_where_a_text_begins_and_ends() -> None:
    tokenizer = byte_level("smollm", SPECIAL)
    end = {"special_tokens": {"eos_token": "<|endoftext|>"}}  # and no bos, though llama.cpp has one
    assert there_and_back(tokenizer).generation == {"stop_tokens": [0], **end}
    generation: dict[str, Any] = {"stop_tokens": [2, 0], "start_token": 1}
    named = {"special_tokens": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}}
    assert there_and_back(tokenizer, **generation).generation == generation | named
    many = metadata_of(tokenizer, eos_token_id=2, eot_token_id=2, eom_token_id=0)
    assert read(many, 1000).generation["stop_tokens"] == [2, 0]


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
        {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<pad>",
         "unk_token": "<|endoftext|>", "sep_token": "<pad>", "mask_token": "<pad>"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", [{}, {"start_token": 0}])
def test_special_tokens_and_sampling_come_back(
    named: dict[str, str], start: dict[str, int]
) -> None:
    tokenizer = byte_level("smollm", SPECIAL)
    sampling = {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.1}
    generation = {**sampling, **start, "stop_tokens": [0, 2], "special_tokens": named}
    metadata, notices = tokenizer_metadata(tokenizer, tokenizer.vocab_size, generation)
    assert notices == []
    back = read(rounded(metadata), 1000).generation
    if start:
        named = {"bos_token": "<|endoftext|>"} | named  # a GGUF file knows one token for both
        named["bos_token"] = "<|endoftext|>"
    if "eos_token" not in named:
        named = named | {"eos_token": "<|endoftext|>"}
    assert back.pop("special_tokens") == named
    assert sorted(back.pop("stop_tokens")) == [0, 2]
    assert back == {**sampling, **start}


def rounded(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata with numbers as a file keeps them."""
    return {
        key: float(np.float32(value)) if isinstance(value, float) else value
        for key, value in metadata.items()
    }


def test_a_fourth_end_is_left_out_with_a_remark() -> None:
    tokenizer = byte_level("smollm", SPECIAL)
    _, (notice,) = tokenizer_metadata(tokenizer, 1000, {"stop_tokens": [2, 1, 0, 3]})
    assert "<pad> left out" in notice


ODD: dict[str, Any] = {
    GGML + "eos_token_id": 5000,
    GGML + "eot_token_id": "x",
    GGML + "padding_token_id": -1,
    GGML + "bos_token_id": True,
    GGML + "add_bos_token": 1,
    "general.sampling.top_k": -1,
    "general.sampling.temp": "hot",
    "general.sampling.top_p": 0.0,
}


@pytest.mark.parametrize(("key", "value"), ODD.items())
def test_what_makes_no_sense_is_told_and_passed_over(key: str, value: Any) -> None:
    words = read(metadata_of(byte_level("smollm")) | {key: value}, 1000)
    (notice,) = words.notices
    assert "a.gguf: " in notice
    assert "expected" in notice
    assert words.generation.keys() <= {"stop_tokens", "special_tokens"}


def test_the_start_token_follows_the_split_where_the_file_is_silent() -> None:
    metadata = metadata_of(byte_level("llama-bpe"), bos_token_id=0)
    del metadata[GGML + "add_bos_token"], metadata[GGML + "has_bos_token"]
    assert read(metadata, 1000).generation["start_token"] == 0
    assert "start_token" not in read(metadata | {GGML + "pre": "qwen2"}, 1000).generation


def test_user_defined_tokens_are_found_in_text_and_control_tokens_are_not() -> None:
    document = json.loads(byte_level("smollm").to_json())
    n = len(document["model"]["vocab"])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    document["added_tokens"].append({"id": n, "content": "<tool>", **flags, "special": False})
    tokenizer = tokenizer_from_document(document)
    back = there_and_back(tokenizer).tokenizer
    assert back is not None
    text = "a <tool> b <|endoftext|>"
    assert n in back.encode(text)
    assert 0 not in back.encode(text)
    assert back.encode(text) == tokenizer.encode(text)


def test_ids_that_no_token_has_are_filled_and_dropped_again() -> None:
    tokenizer = byte_level("smollm")
    size = tokenizer.vocab_size
    metadata, _ = tokenizer_metadata(tokenizer, size + 5, {})
    assert metadata[GGML + "tokens"][-1] == f"[PAD{size + 4}]"
    assert metadata[GGML + "token_type"][-5:] == [5] * 5
    back = read(metadata, size + 5).tokenizer
    assert back is not None
    assert back.vocab_size == size


def greedy(text: str, vocab: dict[str, int], scores: dict[str, float]) -> list[int]:
    """SentencePiece's rule, written out: join the best-scored neighbours, leftmost first."""
    parts = list(text)
    while True:
        unions = [
            (-scores[left + right], at)
            for at, (left, right) in enumerate(itertools.pairwise(parts))
            if left + right in scores
        ]
        if not unions:
            break
        _, at = min(unions)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    spelt = [[p] if p in vocab else [f"<0x{b:02X}>" for b in p.encode()] for p in parts]
    return [vocab[token] for tokens in spelt for token in tokens]


@pytest.mark.parametrize("has_prefix", [True, False])
@settings(max_examples=200)
@given(text=st.text(st.sampled_from("  Tthequnrivbs.\n\u2581é🙂1"), max_size=40))
def test_scores_join_tokens_as_sentencepiece_does(has_prefix: bool, text: str) -> None:
    tokenizer = scored(has_prefix)
    model = json.loads(tokenizer.to_json())["model"]
    scores = sentencepiece.scores_of(model["merges"])
    marked = text.replace(" ", sentencepiece.SPACE)
    marked = sentencepiece.SPACE + marked if has_prefix and text else marked
    assert tokenizer.encode(text) == greedy(marked, model["vocab"], scores)


@pytest.mark.parametrize("has_prefix", [True, False])
def test_a_sentencepiece_vocabulary_comes_back_as_itself(has_prefix: bool) -> None:
    tokenizer = scored(has_prefix)
    words = there_and_back(tokenizer, spare=2, stop_tokens=[2], start_token=1)
    assert words.tokenizer is not None
    assert words.tokenizer.fingerprint == tokenizer.fingerprint
    assert words.generation["special_tokens"] == {"bos_token": "<s>", "eos_token": "</s>"}
    assert (words.generation["stop_tokens"], words.generation["start_token"]) == ([2], 1)
    for text in (text for text in TEXTS if sentencepiece.SPACE not in text):
        assert tokenizer.decode(words.tokenizer.encode(text)) == text


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_other_ways_to_write_the_same_tokenizer_are_known(scheme: str) -> None:
    document = json.loads(scored(scheme != "never").to_json())
    marked = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}
    document |= {"normalizer": None, "pre_tokenizer": marked}
    tokenizer = tokenizer_from_document(document)
    metadata, notices = tokenizer_metadata(tokenizer, tokenizer.vocab_size, {})
    back = read(metadata, tokenizer.vocab_size).tokenizer
    assert back is not None
    assert bool(notices) == (scheme != "never")
    for text in TEXTS:
        if not (notices and text.startswith((" ", sentencepiece.SPACE))):
            assert back.encode(text) == tokenizer.encode(text)


def test_a_rule_that_is_not_known_says_what_it_would_need() -> None:
    good = metadata_of(byte_level("smollm"))
    near = read(good | {GGML + "pre": "llama-bp"}, 1000)
    assert near.tokenizer is None
    assert "ggml.pre 'llama-bp' names a rule that cuts texts into words" in near.why_none
    assert "did you mean 'llama-bpe'" in near.why_none
    assert "known: gpt-2, smollm" in read(good | {GGML + "pre": "kimi-k2"}, 1000).why_none
    other = read(good | {GGML + "model": "rwkv"}, 1000)
    assert "'rwkv' is a kind of tokenizer that is not known" in other.why_none
    assert read(good, 1000).why_none == ""


def test_a_list_in_place_of_a_name_is_told() -> None:
    good = metadata_of(byte_level("smollm"))
    assert "[1 2]' is a kind" in read(good | {GGML + "model": [1, 2]}, 1000).why_none
    assert "expected a text" in refusal(good | {GGML + "pre": [1, 2]})


def test_what_a_file_says_of_its_tokenizer_is_checked() -> None:
    good = metadata_of(byte_level("smollm"))
    tokens = good[GGML + "tokens"]
    assert "room for 100" in refusal(good, vocab_size=100)
    assert "stands twice" in refusal(good | {GGML + "tokens": [*tokens[:-1], tokens[5]]})
    assert "merges" in refusal(good | {GGML + "merges": 3})
    assert "merges" in refusal({key: good[key] for key in good if key != GGML + "merges"})
    assert "token_type" in refusal(good | {GGML + "token_type": [1, 2]})
    assert "tokenizers library" in refusal(good | {GGML + "merges": ["nothing known"]})
    assert "'pre'" in refusal(good | {GGML + "pre": 3}).replace("ggml.pre", "'pre'")
    scores = metadata_of(scored())
    assert "scores" in refusal({key: scores[key] for key in scores if key != GGML + "scores"})
    long = ["<unk>", "<s>", "</s>", "a" * 20000]
    bomb = {"tokens": long, "scores": [0.0] * 4, "token_type": [2, 3, 3, 1]}
    assert "far longer" in refusal(scores | {GGML + key: value for key, value in bomb.items()})


def test_a_file_without_a_tokenizer_says_so() -> None:
    words = read({}, 10)
    assert words.tokenizer is None
    assert "no tokenizer" in words.notices[0]


def test_what_llama_cpp_does_not_know_is_refused() -> None:
    home_made = json.loads(byte_level("gpt-2").to_json())
    home_made["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Whitespace"}, PRE_TOKENIZERS["gpt-2"].pre_tokenizer]}  # fmt: skip
    strips = json.loads(byte_level("smollm").to_json())
    n = len(strips["model"]["vocab"])
    flags = {"single_word": False, "lstrip": True, "rstrip": False, "normalized": False}
    strips["added_tokens"].append({"id": n, "content": "<x>", **flags, "special": False})
    apart = json.loads(scored().to_json())
    merges = apart["model"]["merges"]
    made = ["".join(pair) for pair in merges]
    again = next(n for n, token in enumerate(made) if token in made[:n])
    merges.append(merges.pop(again))
    missing = json.loads(scored().to_json())
    del missing["model"]["merges"][3]
    wrong: list[tuple[Tokenizer, str]] = [
        (ByteTokenizer(), "cuts texts into words"),
        (CharTokenizer("abc"), "kind chars"),
        (tokenizer_from_document(home_made), "cuts texts into words"),
        (tokenizer_from_document(strips), "lstrip"),
        (tokenizer_from_document(apart), "not those of a SentencePiece"),
        (tokenizer_from_document(missing), "not those of a SentencePiece"),
    ]
    for tokenizer, expected in wrong:
        with pytest.raises(TokenizerError, match=expected):
            tokenizer_metadata(tokenizer, 1000, {})
    with pytest.raises(TokenizerError, match="room for 10"):
        tokenizer_metadata(byte_level("gpt-2"), 10, {})


def test_a_normal_form_is_told_of() -> None:
    _, notices = tokenizer_metadata(byte_level("qwen2"), 1000, {})
    assert "NFC" in notices[0]
    back = there_and_back(byte_level("qwen2")).tokenizer
    assert back is not None
    assert back.encode("e\u0301") == back.encode(unicodedata.normalize("NFC", "e\u0301"))
