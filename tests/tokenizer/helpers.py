"""Texts and tokenizers that several tests of this room use."""

from __future__ import annotations

import random
from functools import cache

from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from groundup.tokenizer import BPETokenizer, Tokenizer, train_bpe

SPEECH = (
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak; it's "
    "resolved that we're to die rather than to famish, aren't we? 1234 times...\n"
)
MIXED = (
    "aaaaaa abababab   \n\n\t naïve café 日本語日本語 😀😀 e\u0301 \u00a0\u2003x\r\n<|endoftext|>"
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.text(
    st.sampled_from("ab '\n\t1!é日😀sté\u00a0\x1c\x85<|endofx>"), max_size=60
)


@cache
def small_bpe() -> BPETokenizer:
    """Return a BPE of 700 ids trained on words of few letters, so that merges overlap often."""
    chance = random.Random(0)
    noise = " ".join("".join(chance.choices("aab", k=chance.randint(1, 12))) for _ in range(4000))
    return train_bpe([SPEECH * 3, MIXED * 5, noise], 700)


def by_library(tokenizer: Tokenizer) -> Library:
    """Return the `tokenizers` library's own reading of what `tokenizer` saves."""
    library = Library.from_str(tokenizer.to_json())
    library.encode_special_tokens = True
    return library
