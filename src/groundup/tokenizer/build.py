"""The tokenizer that a user names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from groundup.base.errors import UsageError, nearest
from groundup.base.files import file_error
from groundup.tokenizer.bpe import BPETokenizer
from groundup.tokenizer.bytewise import ByteTokenizer
from groundup.tokenizer.characters import UNKNOWN, CharTokenizer
from groundup.tokenizer.end import named_tokens, with_asked_end, with_found_end
from groundup.tokenizer.gpt2 import gpt2_tokenizer
from groundup.tokenizer.interface import Tokenizer
from groundup.tokenizer.load import load_tokenizer
from groundup.tokenizer.training import check_vocab_size, even_sample

SPECS = ("bpe", "bytes", "chars", "gpt2")


def build_tokenizer(
    spec: str,
    texts: Callable[[], Iterable[str]],
    vocab_size: int,
    unknown: str = "error",
    end_of_text: str | None = None,
    known_ends: Sequence[int] = (),
) -> Tokenizer:
    """Return the tokenizer that `spec` names, trained on `texts()` where it needs training.

    `spec` is "bpe", "bytes", "chars", "gpt2" or the path of a tokenizer.json. `texts` may be called
    more than once. `vocab_size` is the most ids that "bpe" may have; `unknown` ("error" or "skip")
    is what characters do with one they have not seen. An unknown spec is a UsageError.

    `end_of_text` is the text or the id of the token that ends a document. None finds it as
    `tokenizer/end.py` says, with `known_ends` as the ids that a model is known to stop at.
    """
    tokenizer = _built(spec, texts, vocab_size, unknown)
    if end_of_text is not None:
        return with_asked_end(tokenizer, end_of_text)
    named, _ = ({}, []) if spec in SPECS else named_tokens(Path(spec).parent)
    return with_found_end(tokenizer, named, known_ends)


def _built(
    spec: str, texts: Callable[[], Iterable[str]], vocab_size: int, unknown: str
) -> Tokenizer:
    check_tokenizer(spec, vocab_size, unknown)
    match spec:
        case "bpe":
            return BPETokenizer.train(even_sample(texts), vocab_size)
        case "bytes":
            return ByteTokenizer()
        case "chars":
            return CharTokenizer.train(texts(), unknown)
        case "gpt2":
            return gpt2_tokenizer()
    loaded = load_tokenizer(spec)
    if isinstance(loaded, CharTokenizer) and unknown == "skip":
        return CharTokenizer(loaded.alphabet, unknown, [*loaded.special_tokens])
    return loaded


def check_tokenizer(spec: str, vocab_size: int, unknown: str = "error") -> None:
    """Refuse a wish that `build_tokenizer` cannot fulfil, before any text is read."""
    if unknown not in UNKNOWN:
        raise UsageError(f"unknown = {unknown!r}: {nearest(unknown, UNKNOWN)}")
    if spec == "bpe":
        check_vocab_size(vocab_size)
    if spec in SPECS:
        return
    try:
        Path(spec).stat()
    except OSError as error:
        if spec.endswith(".json"):
            raise file_error(Path(spec), error) from error
        raise UsageError(
            f"tokenizer '{spec}': expected {', '.join(SPECS)} or the path of a tokenizer.json; "
            f"{nearest(spec, SPECS)}"
        ) from error
    if Path(spec).is_dir():
        raise UsageError(
            f"tokenizer '{spec}': a folder; expected {', '.join(SPECS)} or the path of a "
            "tokenizer.json"
        )
