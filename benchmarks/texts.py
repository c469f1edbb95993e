"""Texts for the tokenizing benchmark, made in a process of its own: the parent must stay small."""

from __future__ import annotations

import itertools
import json
import string
import sys
from pathlib import Path

from groundup.data.corpora import CORPORA, Packaged, corpus_files
from groundup.tokenizer.gpt2 import gpt2_tokenizer

WRITTEN = {name: one for name, one in CORPORA.items() if isinstance(one.origin, Packaged)}
"""The named texts that people wrote."""


def natural_text(size: int) -> bytes:
    """Return `size` bytes of the texts, a document of each in turn, as often as it takes."""
    documents = [
        [path.read_bytes() for path in sorted(corpus_files(name).glob("*.txt"))] for name in WRITTEN
    ]
    longest = max(map(len, documents))
    mixed = [texts[i] for i in range(longest) for texts in documents if i < len(texts)]
    text = b"\n".join(mixed)
    return whole_characters((text * -(-size // len(text)))[:size])


def varied_text(size: int) -> bytes:
    """Return `size` bytes: the named texts again and again, each time in another alphabet.

    In copy n every letter is the one n places further on, so that a copy brings words as new and
    as often repeated as the first did.
    """
    text = natural_text(min(size, sum(corpus.size for corpus in WRITTEN.values())))
    copies = (text.translate(bytes.maketrans(alphabet(0), alphabet(n))) for n in range(26))
    needed = itertools.islice(copies, -(-size // len(text)))
    return whole_characters(b"".join(needed)[:size])


def whole_characters(text: bytes) -> bytes:
    return text.decode("utf-8", errors="ignore").encode("utf-8")


def alphabet(n: int) -> bytes:
    cases = (string.ascii_lowercase, string.ascii_uppercase)
    return "".join(case[n:] + case[:n] for case in cases).encode()


def main() -> None:
    job = json.loads(sys.argv[1])
    folder, sizes = Path(job["folder"]), job["sizes"]
    for name, made in (("short", natural_text), ("long", natural_text), ("varied", varied_text)):
        (folder / f"{name}.txt").write_bytes(made(sizes[name]))
    gpt2_tokenizer().save(folder / "gpt2.json")
    print(json.dumps({}))


if __name__ == "__main__":
    main()
