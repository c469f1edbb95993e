"""Learning a byte-level vocabulary from the user's own text, in bounded memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator

from groundup.base.errors import TokenizerError, UsageError
from groundup.config.fields import require
from groundup.tokenizer.arguments import each_text
from groundup.tokenizer.byte_level import to_bytes
from groundup.tokenizer.interface import to_utf8

SMALLEST_VOCAB = 257
"""The 256 bytes and the end of a text."""

LARGEST_VOCAB = 1 << 22
"""The trainer reserves memory for what it is asked; no text here gives more merges than this."""

SAMPLE_CHARS = 256 << 20
"""Of a longer text, an even sample of this many characters trains the vocabulary."""

UNIQUE_BYTES = 8 << 20
"""The trainer needs some 40 to 100 bytes for each byte of a word that it has not met before."""

PIECE = 1 << 16
"""Characters handed over at once; the trainer's queue holds 256 pieces."""

# A word or a white space of a megabyte would take the trainer hours and teach it nothing.
LONGEST = 256
_LONG_WORD = re.compile(rf"\S{{{LONGEST}}}(?=\S)")
_LONG_WHITE = re.compile(rf"(\s{{{LONGEST}}})\s+")


def learn_merges(
    texts: Iterable[str], vocab_size: int
) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Return the tokens of a byte-level BPE, and the merges that make those of several bytes.

    One id of `vocab_size` is left for the end of a text. A text too small gives fewer: pairs that
    occur once are not merged. `texts` may be pieces of any length. Sennrich et al. 2016,
    arXiv:1508.07909; on bytes, Radford et al. 2019.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    check_vocab_size(vocab_size)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocab_size, LARGEST_VOCAB) - 1,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    trained.train_from_iterator(_pieces(each_text(texts, "BPETokenizer.train")), trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = [to_bytes(token) for token in sorted(model["vocab"], key=model["vocab"].__getitem__)]
    merges = [(to_bytes(left), to_bytes(right)) for left, right in model["merges"]]
    assert [left + right for left, right in merges] == tokens[256:]
    return tokens, merges


def check_vocab_size(vocab_size: int) -> None:
    """Refuse a vocabulary that has no room for the 256 bytes and the end of a text."""
    is_whole = isinstance(vocab_size, int) and not isinstance(vocab_size, bool)
    require(is_whole, "vocab_size", vocab_size, "int")
    if vocab_size < SMALLEST_VOCAB:
        raise UsageError(
            f"vocab_size = {vocab_size}: a byte-level BPE has at least {SMALLEST_VOCAB} ids (256 "
            "bytes and the end of a text); choose more, or the tokenizer 'bytes' or 'chars'"
        )


def even_sample(texts: Callable[[], Iterable[str]], limit: int = SAMPLE_CHARS) -> Iterator[str]:
    """Yield about `limit` characters of the texts, spread evenly; all where there are no more."""
    total = sum(map(len, texts()))
    share = min(1.0, limit / max(total, 1))
    seen = taken = 0
    for text in texts():
        if taken <= share * seen:
            taken += len(text)
            yield text
        seen += len(text)


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts in small pieces, until they have shown as many new words as fit in memory."""
    seen: set[str] = set()
    room = UNIQUE_BYTES
    for text in texts:
        for start in range(0, len(text), PIECE):
            piece, words = _cut(text[start : start + PIECE])
            new = set(words) - seen
            seen |= new
            room -= len(to_utf8("".join(new)))
            yield piece
            if room < 0:
                return
    if not seen:
        raise TokenizerError("no words to train a tokenizer on; give a text that is not empty")


def _cut(piece: str) -> tuple[str, list[str]]:
    """Return `piece` with its overlong words and white space cut, and its words."""
    words = piece.split()
    if len(piece) - sum(map(len, words)) - len(words) > LONGEST:
        piece = _LONG_WHITE.sub(r"\1", piece)
    if max(map(len, words), default=0) > LONGEST:
        # A line break is a word of its own of one byte: it cuts, and adds no pair.
        piece = _LONG_WORD.sub("\\g<0>\n", piece)
        words = piece.split()
    return piece, words
