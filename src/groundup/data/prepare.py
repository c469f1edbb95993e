"""From any text to token shards: in bounded memory, in parallel, and on from where it stopped.

    data/FINGERPRINT/
      manifest.json         what was read, how it was divided and encoded, what the shards hold
      tokenizer.json
      train-00000.bin …     token ids, unsigned little-endian integers
      val-00000.bin …
      lock

The fingerprint is that of the text and of all that decides what becomes of it. The folder is
finished when the manifest stands in it; until then `unfinished.json` tells what does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from groundup.base.errors import DataError, UsageError
from groundup.base.file_names import TOKENIZER
from groundup.base.files import write_json
from groundup.base.hardware import usable_cores
from groundup.base.lock import file_lock
from groundup.data.documents import Document, read_documents, standard_input
from groundup.data.portions import cut_safely, units
from groundup.data.reading_log import ReadingLog
from groundup.data.shards import FinishedShards, ShardWriter
from groundup.data.split import Scan, SplitRule, scan
from groundup.data.text_sum import TextChangedError, TextSum
from groundup.data.tokens import (
    FINISHED_SHARDS,
    FORMAT,
    LOCK,
    MANIFEST,
    SPLITS,
    TokenSplit,
    open_tokens,
    read_manifest,
    remedy,
)
from groundup.tokenizer import Tokenizer, build_tokenizer, load_tokenizer
from groundup.tokenizer.end import with_asked_end

SHARD_TOKENS = 64 << 20
"""Tokens in a shard: what a process that is killed may have to encode again."""

TRAINED = ("bpe", "chars")
"""Tokenizers that are made of the text."""

OnProgress = Callable[[str, int, int], None]
"""Receives a stage (scan, tokenizer, encode, waiting), bytes done and bytes in all, 0: unknown."""

ReadDocuments = Callable[[ReadingLog | None], Iterator[Document]]


@dataclass(frozen=True)
class PreparedData:
    """A folder of token shards that is complete."""

    folder: Path
    manifest: dict[str, Any]
    notices: tuple[str, ...] = ()
    """What was guessed and skipped while the text was read, where it has just been read."""

    @property
    def fingerprint(self) -> str:
        """What the folder is called after."""
        return str(self.manifest["fingerprint"])

    @property
    def split_rule(self) -> str:
        """How the text was divided, in words."""
        return str(self.manifest["split_rule"])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the shards; another one in its place is a DataError."""
        tokenizer = load_tokenizer(self.folder / TOKENIZER)
        if tokenizer.fingerprint != self.manifest["tokenizer"]["fingerprint"]:
            raise DataError(
                f"{self.folder / TOKENIZER}: not the tokenizer that made these shards; "
                f"{remedy(self.folder)}"
            )
        end = self.manifest["tokenizer"].get("end_of_text")
        return tokenizer if end is None else tokenizer.ending(end)

    def tokens(self, split: str, *, verify: bool = False) -> TokenSplit:
        """Return the tokens of "train" or "val", with `verify` after checking every byte."""
        return open_tokens(self.folder, split, verify=verify)

    def __repr__(self) -> str:
        sizes = (f"{self.manifest['splits'][split]['tokens']:,} {split}" for split in SPLITS)
        return f"PreparedData({self.folder}: {' + '.join(sizes)} tokens)"


def open_prepared(folder: str | Path, *, verify: bool = False) -> PreparedData:
    """Open a prepared folder after checking the size, or with `verify` every byte, of its shards.

    What is missing or damaged is a DataError that names the file.
    """
    folder = Path(folder)
    for split in SPLITS:
        open_tokens(folder, split, verify=verify)
    return PreparedData(folder, read_manifest(folder))


def prepare(
    sources: Sequence[str],
    tokenizer_spec: str,
    vocab_size: int,
    out: str | Path,
    *,
    include: Sequence[str] = (),
    text_field: str | None = None,
    on_bad_record: str = "stop",
    split_on: str | None = None,
    unknown: str = "error",
    encoding: str = "utf-8",
    end_of_text: str | None = None,
    known_ends: Sequence[int] = (),
    workers: int | None = None,
    progress: OnProgress | None = None,
    shard_tokens: int = SHARD_TOKENS,
    verify: bool = False,
    stdin: BinaryIO | None = None,
) -> PreparedData:
    """Encode `sources` into token shards under `out`, or find that it was done before.

    `sources`, `include`, `text_field`, `on_bad_record`, `split_on`, `encoding` and `stdin` as in
    `read_documents`; `tokenizer_spec`, `vocab_size`, `unknown`, `end_of_text` and `known_ends` as
    in `build_tokenizer`. `workers` threads encode; None is one for each CPU that may be used. A
    call that was killed, or ran out of disk, goes on when it is repeated, with the same result to
    the byte.
    """
    for name, value in (("workers", workers), ("shard_tokens", shard_tokens)):
        if value is not None and value < 1:
            raise UsageError(f"{name} = {value}: expected 1 or more")
    with standard_input(sources, stdin) as spooled:

        def documents(log: ReadingLog | None = None) -> Iterator[Document]:
            return read_documents(
                sources,
                include=include,
                text_field=text_field,
                on_bad_record=on_bad_record,
                split_on=split_on,
                encoding=encoding,
                stdin=spooled,
                log=log,
            )

        log = ReadingLog()

        request = _Request(
            sources=list(sources),
            documents=documents,
            spec=tokenizer_spec,
            vocab_size=vocab_size,
            unknown=unknown,
            end_of_text=end_of_text,
            known_ends=known_ends,
            shard_tokens=shard_tokens,
            workers=workers or usable_cores(),
            progress=progress or (lambda stage, done, total: None),
            log=log,
        )
        folder = request.run(Path(out))
    return replace(open_prepared(folder, verify=verify), notices=tuple(log.lines()))


def _no_texts() -> Iterator[str]:
    return iter(())


def _sparse(report: Callable[[int], None]) -> Callable[[int], None]:
    """Pass on only each further MiB, as texts may come by the million."""
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        if done - told >= 1 << 20:
            told = done
            report(done)

    return tell


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One call of `prepare`."""

    sources: list[str]
    documents: ReadDocuments
    spec: str
    vocab_size: int
    unknown: str
    end_of_text: str | None
    known_ends: Sequence[int]
    shard_tokens: int
    workers: int
    progress: OnProgress
    log: ReadingLog

    def run(self, out: Path) -> Path:
        """Return the folder, having filled it where it was not yet complete."""
        # A tokenizer that needs no text is looked at first: its errors should not cost a pass.
        given = None if self.spec in TRAINED else self._build(_no_texts)
        seen = scan(self.documents(self.log), _sparse(lambda done: self.progress("scan", done, 0)))
        self.progress("scan", seen.n_bytes, seen.n_bytes)
        folder = out / self._fingerprint(seen, given)
        with file_lock(folder / LOCK, lambda holder: self.progress("waiting", 0, 0)):
            if (folder / MANIFEST).exists():
                tokenizer = given or self._earlier(folder)
            else:
                tokenizer = self._made(FinishedShards.open(folder), seen, given)
            with suppress(FileNotFoundError):
                (folder / FINISHED_SHARDS).unlink()
        if seen.n_documents > 1 and tokenizer.end_of_text is None:
            self.log.chose(
                "end of text",
                f"{seen.n_documents:,} documents follow each other with no token between them: "
                "this tokenizer has none that ends a text; name one with --end-of-text",
            )
        return folder

    def _fingerprint(self, seen: Scan, given: Tokenizer | None) -> str:
        """Name the text and all that decides about its tokens.

        A tokenizer made of the text stands for itself by how it is made, so that finding the folder
        again does not take training it again.
        """
        tokenizer = given.fingerprint if given else self.spec
        size = self.vocab_size if self.spec == "bpe" else None
        decides = [FORMAT, seen.fingerprint, tokenizer, size, self.unknown, self.shard_tokens]
        end = given.given_end if given else self.end_of_text
        decides += [] if end is None else [end]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]

    def _build(self, texts: Callable[[], Iterator[str]]) -> Tokenizer:
        return build_tokenizer(
            self.spec, texts, self.vocab_size, self.unknown, self.end_of_text, self.known_ends
        )

    def _made(self, finished: FinishedShards, seen: Scan, given: Tokenizer | None) -> Tokenizer:
        """Fill a folder and return its tokenizer; of a text that changed nothing is left."""
        path = finished.folder / TOKENIZER
        try:
            tokenizer = given or self._trained(finished, seen)
            tokenizer.save(path)
            self._fill(finished, seen, tokenizer)
        except TextChangedError:
            finished.remove()
            path.unlink(missing_ok=True)
            raise DataError(
                f"{' '.join(self.sources)}: the text changed while it was read; run the same "
                "command again when it is at rest"
            ) from None
        return tokenizer

    def _earlier(self, folder: Path) -> Tokenizer:
        """Return the tokenizer that was made of the text before."""
        earlier, asked = load_tokenizer(folder / TOKENIZER), self.end_of_text
        return earlier if asked is None else with_asked_end(earlier, asked)

    def _trained(self, finished: FinishedShards, seen: Scan) -> Tokenizer:
        """Return the tokenizer of an earlier attempt, or train it; note what was read for it."""
        if finished.learnt and (finished.folder / TOKENIZER).exists():
            return self._earlier(finished.folder)
        # Words are learnt from what trains; an alphabet must have what validates, too.
        splits = ["train"] if self.spec == "bpe" else list(SPLITS)
        read: list[tuple[str, TextSum]] = []

        def texts() -> Iterator[str]:
            tell = _sparse(lambda done: self.progress("tokenizer", done, seen.n_bytes))
            done = 0
            for split in splits:
                read.append((split, TextSum()))
                for text, _ in cut_safely(self._pieces(seen.rule, *read[-1])):
                    yield text
                    done += len(text)
                    tell(done)
            self.progress("tokenizer", seen.n_bytes, seen.n_bytes)

        tokenizer = self._build(texts)
        finished.note([(split, text.mark()) for split, text in read])
        return tokenizer

    def _fill(self, finished: FinishedShards, seen: Scan, tokenizer: Tokenizer) -> None:
        """Write the shards and then the manifest."""
        dtype = np.min_scalar_type(tokenizer.vocab_size - 1)
        done = 0

        def encoded(n_bytes: int) -> None:
            nonlocal done
            done += n_bytes
            self.progress("encode", done, seen.n_bytes)

        with ThreadPoolExecutor(self.workers) as pool:
            writer = ShardWriter(
                finished=finished,
                tokenizer=tokenizer,
                dtype=dtype.newbyteorder("<"),
                shard_tokens=self.shard_tokens,
                pool=pool,
                ahead=2 * self.workers,
                progress=encoded,
            )
            for split in SPLITS:
                read = finished.read_of(split)
                writer.write(split, units(self._pieces(seen.rule, split, read)), read)
        splits = {split: _split_record(finished.splits[split]) for split in SPLITS}
        if not seen.rule.are_all(seen.total, {s: finished.splits[s]["read"] for s in SPLITS}):
            raise TextChangedError
        manifest = {
            "format": FORMAT,
            "fingerprint": finished.folder.name,
            "sources": self.sources,
            "tokenizer": _tokenizer_record(tokenizer),
            "dtype": dtype.name,
            "shard_tokens": self.shard_tokens,
            "split_rule": seen.rule.text,
            "documents": seen.n_documents,
            "largest_document": seen.largest,
            "splits": splits,
        }
        write_json(finished.folder / MANIFEST, manifest)

    def _pieces(self, rule: SplitRule, split: str, read: TextSum) -> Iterator[str | None]:
        return rule.pieces(self.documents(None), split, read)


def _split_record(entry: dict[str, Any]) -> dict[str, Any]:
    told = ("file", "size", "sha256", "tokens")
    shards = [{name: shard[name] for name in told} for shard in entry["shards"]]
    return {**entry["done"], "shards": shards}


def _tokenizer_record(tokenizer: Tokenizer) -> dict[str, Any]:
    names = ("kind", "fingerprint", "vocab_size")
    end = {} if tokenizer.given_end is None else {"end_of_text": tokenizer.given_end}
    return {name: getattr(tokenizer, name) for name in names} | end
