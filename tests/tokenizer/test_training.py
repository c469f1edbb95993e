from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.base.errors import GroundupError, TokenizerError, UsageError
from groundup.tokenizer import CharTokenizer, build_tokenizer, load_tokenizer, train_bpe, training
from tests.tokenizer.helpers import SPEECH, small_bpe


def test_training_is_deterministic_and_cuts_do_not_matter_at_words() -> None:
    whole = train_bpe([SPEECH * 20], 400)
    assert train_bpe([SPEECH] * 20, 400).fingerprint == whole.fingerprint
    assert 300 < whole.vocab_size <= 400
    assert whole.end_of_text == whole.vocab_size - 1


def test_the_first_merge_is_the_most_frequent_pair() -> None:
    bpe = train_bpe(["xyxyxy zq zq"], 258)
    assert bpe.encode("xyx") == [256, bpe.encode("x")[0]]
    assert bpe.token_bytes(256) == b"xy"


@pytest.mark.parametrize("text", ["a", "ab cd", "   ", SPEECH])
def test_a_small_text_gives_a_smaller_vocabulary(text: str) -> None:
    if not text.strip():
        text += "."
    bpe = train_bpe([text], 10**12)
    assert 257 <= bpe.vocab_size < 500
    assert bpe.end_of_text == bpe.vocab_size - 1
    assert bpe.decode(bpe.encode(text)) == text


def test_merges_are_unique_whatever_the_text() -> None:
    for seed in range(20):  # an assertion inside train_bpe holds each token to one merge
        chance = random.Random(seed)
        words = ["".join(chance.choices("aab", k=chance.randint(1, 30))) for _ in range(500)]
        assert train_bpe([" ".join(words)], 1000).vocab_size > 300


@pytest.mark.parametrize("unit", ["a", " ", "ab", "日", "\n "])
def test_endless_words_and_white_space_are_cut(unit: str) -> None:
    pieces = list(training._pieces(["word " + unit * 200_000]))
    for piece in pieces:
        assert max(map(len, piece.split()), default=0) <= training.LONGEST
        assert len(piece) <= 1.01 * training.PIECE
    assert train_bpe([unit * 2**20, "end"], 600).vocab_size < 300


def test_new_words_stop_when_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "UNIQUE_BYTES", 1000)
    taken = list(training._pieces(f"word{n}" for n in range(10_000)))
    assert 100 < len(taken) < 200
    again = list(training._pieces("the same words" for _ in range(10_000)))
    assert len(again) == 10_000


def test_a_long_text_is_sampled_evenly() -> None:
    def texts() -> list[str]:
        return [f"{n:05d}" for n in range(1000)]

    sample = list(training.even_sample(texts, 500))
    assert 95 <= len(sample) <= 105
    assert sum(text < "00500" for text in sample) == pytest.approx(len(sample) / 2, abs=2)
    assert list(training.even_sample(texts, 5000)) == texts()


def test_the_number_of_workers_changes_nothing() -> None:
    code = """
import random
from groundup.tokenizer import train_bpe
chance = random.Random(3)
words = ["".join(chance.choices("abcde", k=chance.randint(1, 9))) for _ in range(60_000)]
print(train_bpe([" ".join(words)] * 3, 2000).fingerprint)
"""
    found = set()
    for workers in ("1", "2", "5"):
        chosen = {"RAYON_NUM_THREADS": workers, "TOKENIZERS_PARALLELISM": "true"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | chosen, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


@pytest.mark.parametrize("texts", [[], [""], ["", "  "]])
def test_nothing_to_train_on(texts: list[str]) -> None:
    with pytest.raises(TokenizerError, match="not empty"):
        train_bpe(texts, 300)
    if not "".join(texts):
        with pytest.raises(TokenizerError, match="not empty"):
            CharTokenizer.train(texts)


def test_build_each_kind(tmp_path: Path) -> None:
    assert build_tokenizer("bpe", lambda: [SPEECH * 9], 300).vocab_size == 300
    assert build_tokenizer("bytes", lambda: [], 0).vocab_size == 257
    chars = build_tokenizer("chars", lambda: ["ab", "ca"], 0)
    assert isinstance(chars, CharTokenizer)
    assert chars.alphabet == "abc"
    assert build_tokenizer("chars", lambda: ["ab"], 0, "skip").encode("axb") == [0, 1]
    chars.save(tmp_path / "own.json")
    assert load_tokenizer(tmp_path / "own.json").fingerprint == chars.fingerprint
    assert build_tokenizer(str(tmp_path / "own.json"), lambda: [], 0, "skip").encode("axb") == [
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("spec", "vocab_size", "unknown", "says"),
    [
        ("bpe", 256, "error", "vocab_size = 256: .* at least 257"),
        ("bpe", -1, "error", "vocab_size = -1"),
        ("bpee", 300, "error", "tokenizer 'bpee': expected bpe, bytes.*did you mean 'bpe'"),
        ("chars", 300, "drop", "unknown = 'drop': .*error, skip"),
        ("absent.json", 300, "error", "absent.json: No such file"),
    ],
)
def test_requests_that_cannot_be(spec: str, vocab_size: int, unknown: str, says: str) -> None:
    with pytest.raises(GroundupError, match=says) as caught:
        build_tokenizer(spec, lambda: [SPEECH], vocab_size, unknown)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError) == (spec != "absent.json")


def test_reprs_say_what_they_are() -> None:
    assert repr(small_bpe()) == "BPETokenizer(kind='bpe', vocab_size=700, end_of_text=699)"
    assert "vocab_size=2, end_of_text=None" in repr(CharTokenizer("ab"))
