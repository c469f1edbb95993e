"""One contestant's turn of the tokenizing benchmark, in a process of its own."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.turns import Record, mib

PIECE = 1 << 18
"""Characters handed over at a time: what groundup's own pipeline takes, and no worse for a peer."""


def pieces(job: Record) -> list[str]:
    text = Path(job["text"]).read_text(encoding="utf-8")
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def encode(job: Record) -> float:
    """Return the CPU seconds that the ids of a text cost that is in memory already."""
    encoder, texts = ENCODERS[job["contestant"]](job), pieces(job)
    encoder(texts[0])  # whatever is made at first use
    begun = time.process_time()
    for text in texts:
        encoder(text)
    return time.process_time() - begun


def pipeline(job: Record) -> float:
    """Return the CPU seconds of a file's way to shards; of tiktoken, of its ids alone."""
    if job["contestant"] == "tiktoken":
        return encode(job)
    from groundup.data import prepare

    shutil.rmtree(job["out"], ignore_errors=True)
    begun = time.process_time()
    prepare([job["text"]], job["tokenizer"], job["vocab_size"], job["out"], workers=1)
    return time.process_time() - begun


def train(job: Record) -> float:
    """Return the wall time of learning a vocabulary, the reading of the file included."""
    begun = time.perf_counter()
    TRAINERS[job["contestant"]](job)
    return time.perf_counter() - begun


def our_encoder(job: Record) -> Callable[[str], object]:
    from groundup.tokenizer import load_tokenizer

    return load_tokenizer(job["tokenizer"]).encode_array


def tiktoken_encoder(job: Record) -> Callable[[str], object]:
    """tiktoken as its users call it, from the same ranks and GPT-2's pattern."""
    from tiktoken import Encoding

    from groundup.tokenizer import load_tokenizer
    from groundup.tokenizer.byte_level import PATTERN

    known = load_tokenizer(job["tokenizer"])
    ranks = {known.token_bytes(n): n for n in range(known.vocab_size) if known.token_bytes(n)}
    special = dict(known.special_tokens)
    return Encoding(
        "bare", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special
    ).encode_ordinary


def tokenizers_encoder(job: Record) -> Callable[[str], object]:
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(job["tokenizer"])
    return lambda text: library.encode_batch_fast([text], add_special_tokens=False)[0].ids


def our_trainer(job: Record) -> None:
    """As `groundup train` does: an even sample of the file, streamed."""
    from groundup.data import read_documents
    from groundup.tokenizer import build_tokenizer

    def texts() -> Iterator[str]:
        for document in read_documents([job["text"]]):
            yield from document.chunks

    build_tokenizer("bpe", texts, job["vocab_size"]).save(job["out"])


def tokenizers_trainer(job: Record) -> None:
    """The library's own, by the name of the file: all of its threads, no bound on memory."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=job["vocab_size"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    library.train([job["text"]], trainer)


ENCODERS = {
    "ours": our_encoder,
    "tiktoken": tiktoken_encoder,
    "tokenizers": tokenizers_encoder,
}
TRAINERS = {"ours": our_trainer, "tokenizers": tokenizers_trainer}
TASKS = {"encode": encode, "pipeline": pipeline, "train": train}


def main() -> None:
    job = json.loads(sys.argv[1])
    seconds = TASKS[job["task"]](job)
    record = {
        "seconds": seconds,
        "bytes": Path(job["text"]).stat().st_size,
        "peak_memory_mib": mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
