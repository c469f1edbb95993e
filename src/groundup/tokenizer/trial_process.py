"""The program that tries a tokenizer.json: a process of its own that can do nothing else.

Reads the file's content, loads it with the `tokenizers` library and lets it read and write what its
own rules speak of. What is wrong with it ends this process: the operating system, where it takes
too much processor time or memory; the library, where it aborts; or a line on standard output, that
says what was found. A process that ends with 0 and prints nothing found no harm.

The seconds for loading and for each of the two trials, and the bytes of memory, are its arguments.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer

MOST_IDS = 64
"""Ids for a byte of text."""
MOST_BYTES = 64
"""Bytes of text for a byte of a token."""
ALLOWANCE = 1000
"""As many more of either."""
HARMLESS = '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'
CLASSES = ("a", "Z", "0", " ", "\n", "é", "é", "中", "_", "'", "!")
"""Characters for what a pattern names by kind: letters, digits, space, marks."""
MOST_UNITS, LONGEST_UNIT, LONGEST_TEXT, MOST_TOKENS = 32, 64, 4000, 1 << 15
REPEATS = (1, 30, 2000)
"""Thirty of a kind double the work of a pattern thirty times; thousands show its powers."""
LITERAL = re.compile(r"\\[pP]\{[^}]*\}|\\.|[\[\](){}|.*+?^$:<>=]+")


def limit(memory: int) -> None:
    """Give up what a trial does not need."""
    with contextlib.suppress(ImportError):  # Windows has none; the caller's clock still runs
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        memory = memory if most == resource.RLIM_INFINITY else min(memory, most)
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def set_timer(seconds: float) -> None:
    """End the process after so much more of processor time."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def texts_in(part: Any) -> Iterator[str]:
    """Yield every text that stands in a part of the rules, and what is literal in a pattern."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "Regex" and isinstance(value, str):
                yield from filter(None, LITERAL.split(value))
            elif key not in ("type", "precompiled_charsmap"):
                yield from texts_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from texts_in(value)
    elif isinstance(part, str):
        yield part


def units(document: dict[str, Any]) -> list[str]:
    """Return the pieces that texts are made of which try the rules."""
    rules = [document.get(step) for step in ("normalizer", "pre_tokenizer", "decoder")]
    added = [token["content"] for token in (document.get("added_tokens") or [])[:8]]
    model = document["model"]
    words = [w if isinstance(w, str) else w[0] for w in model["vocab"]]
    longest = sorted(words, key=len)[-8:]
    found = [text[:LONGEST_UNIT] for text in texts_in(rules)]
    chars = [char for text in found for char in text]
    every = [*found, *CLASSES, *dict.fromkeys(chars), *added, *longest]
    return list(dict.fromkeys(filter(None, every)))[:MOST_UNITS]


class HarmError(Exception):
    """What was found, in words."""


def repeats(piece: str) -> list[int]:
    """Return how often a piece is repeated."""
    return [min(n, max(1, LONGEST_TEXT // len(piece))) for n in REPEATS]


def try_reading(library: Tokenizer, pieces: list[str]) -> None:
    """Let it encode texts, and decode what it makes of them."""
    texts = [unit * n + end for unit in pieces for n in repeats(unit) for end in ("", "!\x7f")]
    texts += ["".join(pieces), *(a + b for a in pieces[:12] for b in pieces[:12])]
    for text in texts:
        try:
            ids = library.encode(text, add_special_tokens=False).ids
        except Exception:  # it says that it has no token for this: no harm
            continue
        n_bytes = len(text.encode())
        if len(ids) > MOST_IDS * n_bytes + ALLOWANCE:
            raise HarmError(f"it makes {len(ids):,} tokens of {n_bytes:,} bytes")
        check_written(library, ids[:ALLOWANCE])


def try_writing(library: Tokenizer, pieces: list[str]) -> None:
    """Let it decode its vocabulary, and what its rules speak of."""
    n_tokens = min(library.get_vocab_size(), MOST_TOKENS)
    for first in range(0, n_tokens, 256):
        check_written(library, list(range(first, min(first + 256, n_tokens))))
    for piece in pieces if library.decoder else []:
        for n in repeats(piece):
            written = library.decoder.decode([piece] * n + ["", "!"])
            check_size(written, len(piece.encode()) * n)


def check_written(library: Tokenizer, ids: list[int]) -> None:
    """Refuse ids whose text is far longer than their tokens."""
    tokens = [library.id_to_token(number) or "" for number in ids]
    check_size(library.decode(ids), sum(len(token.encode()) for token in tokens))


def check_size(written: str, n_bytes: int) -> None:
    """Refuse a text that is far longer than the tokens it was made of."""
    size = len(written.encode())
    if size > MOST_BYTES * n_bytes + ALLOWANCE:
        raise HarmError(f"it makes {size:,} bytes of text of {n_bytes:,} in tokens")


def main(loading: float, trying: float, memory: int) -> None:
    """Try what standard input holds."""
    text = sys.stdin.buffer.read().decode("utf-8")
    Tokenizer.from_str(HARMLESS).encode("a")  # loads what is loaded late, while it still can be
    limit(memory)
    set_timer(loading)
    document = json.loads(text)
    library = Tokenizer.from_str(text)
    pieces = units(document)
    for trial in (try_reading, try_writing):
        set_timer(trying)
        trial(library, pieces)


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
    except HarmError as harm:
        sys.stdout.write(str(harm))
    except MemoryError:
        sys.stdout.write("it takes too much memory")
    except BaseException as error:  # the library's panics are no Exception
        sys.stdout.write(f"the tokenizers library says: {error}")
