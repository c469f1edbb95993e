"""Any text as documents: from files, folders, globs, named corpora and standard input.

A document is a file, a record of a file of records, or a part of a file between two separators. Its
text comes in pieces, so that memory stays bounded however long a document or a line may be.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from groundup.base.errors import DataError, UsageError, nearest
from groundup.base.files import file_error
from groundup.config.names import TEXTS
from groundup.data.corpora import CORPORA, corpus_files
from groundup.data.reading import ReadingLog
from groundup.data.records import RECORD_FORMATS, parquet_texts, record_texts
from groundup.data.streams import CHUNK_SIZE, COMPRESSIONS, byte_pieces, text_pieces

STANDARD_INPUT = "-"
ENDINGS = (".txt", ".md", *RECORD_FORMATS, ".parquet")


@dataclass(frozen=True)
class Document:
    """A text and where it stands: a file, and the line, record or part of it."""

    name: str
    chunks: Iterator[str]  # non-empty pieces in order; read them before the next document

    def text(self) -> str:
        """Return the whole text, or what is left of it; for documents known to be small."""
        return "".join(self.chunks)


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """How the sources are to be read."""

    text_field: str | None
    split_on: str | None
    encoding: str
    stdin: BinaryIO | None
    chunk_size: int
    log: ReadingLog

    def documents(self, path: Path) -> Iterator[Document]:
        name, kind = str(path), format_of(path)
        if path == Path(STANDARD_INPUT):
            yield from self._texts(_input_pieces(self.stdin, self.chunk_size), "standard input")
        elif kind == ".parquet":
            yield from self._records(parquet_texts(path, self.text_field, self.chunk_size))
        elif kind in RECORD_FORMATS:
            pieces = text_pieces(byte_pieces(path, self.chunk_size), name, self.encoding)
            records = RECORD_FORMATS[kind](pieces, name)
            yield from self._records(record_texts(records, self.text_field))
        else:
            yield from self._texts(byte_pieces(path, self.chunk_size), name)

    def _records(self, texts: Iterator[tuple[str, str]]) -> Iterator[Document]:
        size = self.chunk_size
        for label, text in texts:
            if text and not text.isspace():
                starts = range(0, len(text), size)
                yield Document(label, map(text.__getitem__, (slice(i, i + size) for i in starts)))

    def _texts(self, raw: Iterator[bytes], name: str) -> Iterator[Document]:
        pieces = text_pieces(raw, name, self.encoding)
        if self.split_on is None:
            yield from _unless_blank(name, pieces, self.chunk_size)
            return
        for number, part in enumerate(split_pieces(pieces, self.split_on), 1):
            yield from _unless_blank(f"{name}, part {number}", part, self.chunk_size)


def read_documents(
    sources: Sequence[str],
    *,
    text_field: str | None = None,
    split_on: str | None = None,
    encoding: str = "utf-8",
    stdin: BinaryIO | None = None,
    chunk_size: int = CHUNK_SIZE,
    log: ReadingLog | None = None,
) -> Iterator[Document]:
    """Yield the documents of `sources`, in their order and sorted by name within each.

    A source is a file, a folder, a glob, the name of a corpus, or "-" for `stdin`, which is read
    from its start where it can be rewound (see `standard_input`). `text_field` names the text of a
    record, `split_on` cuts plain texts at that string, `chunk_size` is the most characters a piece
    of text has. `log` receives what was guessed and skipped. Blank documents are skipped. Raises
    `UsageError` for a source that is not there, and `DataError` for a text that cannot be used or
    where all is blank.
    """
    if split_on == "":
        raise UsageError("the string to split on is empty; leave it out for a document a file")
    paths = [path for source in sources for path in source_files(source)]
    reader = _Reader(
        text_field=text_field,
        split_on=split_on.replace("\r\n", "\n") if split_on else None,
        encoding=encoding,
        stdin=stdin,
        chunk_size=chunk_size,
        log=ReadingLog() if log is None else log,
    )
    return _at_least_one(itertools.chain.from_iterable(map(reader.documents, paths)), sources)


def _at_least_one(documents: Iterator[Document], sources: Sequence[str]) -> Iterator[Document]:
    document = None
    for document in documents:
        yield document
    if document is None:
        raise DataError(f"{' '.join(sources)}: empty; expected some text")


def format_of(path: Path) -> str:
    """Return the ending that says how a file is read, below that of a compression."""
    inner = Path(path.stem) if path.suffix.lower() in COMPRESSIONS else path
    return inner.suffix.lower()


def source_files(source: str) -> list[Path]:
    """Return the files of a source, sorted; a real path comes before a corpus of the same name."""
    path = Path(source)
    try:
        if source == STANDARD_INPUT or path.is_file():
            return [path]
        if path.is_dir():
            return _folder_files(path)
        exists = path.exists()
    except OSError as error:
        raise file_error(path, error) from error
    if exists:
        raise UsageError(f"{source}: not a regular file; pipe it in and name it '-'")
    if source in CORPORA:
        return sorted(corpus_files(source).glob("*.txt"))
    if glob.has_magic(source):
        matches = map(Path, glob.iglob(source, recursive=True))  # noqa: PTH207 - absolute too
        if files := sorted({match for match in matches if match.is_file()}):
            return files
        raise UsageError(f"{source}: no file matches; check the pattern and the folder")
    hint = nearest(path.stem, CORPORA, TEXTS)
    raise UsageError(
        f"{source}: no such file or folder, nor a named corpus ({hint}); check the path"
    )


def _folder_files(root: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    files: list[Path] = []
    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(folder, name) for name in names if not name.startswith("."))
        files += (path for path in paths if format_of(path) in ENDINGS and path.is_file())
    if not files:
        raise DataError(
            f"{root}: no text in this folder; expected files ending in {' '.join(ENDINGS)}, or "
            f"these and {' or '.join(COMPRESSIONS)}"
        )
    return sorted(files)


@contextlib.contextmanager
def standard_input(
    sources: Sequence[str], stdin: BinaryIO | None = None
) -> Iterator[BinaryIO | None]:
    """Yield a copy of standard input on disk, to be read more than once, if "-" is a source."""
    if STANDARD_INPUT not in sources:
        yield None
        return
    with tempfile.TemporaryFile() as copy:
        try:
            shutil.copyfileobj(stdin or sys.stdin.buffer, copy, CHUNK_SIZE)
            copy.flush()
        except OSError as error:
            raise file_error(Path(tempfile.gettempdir()), error) from error
        yield copy


def _input_pieces(stdin: BinaryIO | None, size: int) -> Iterator[bytes]:
    stream = stdin or sys.stdin.buffer
    if stdin is not None and stdin.seekable():
        stdin.seek(0)
    while piece := stream.read(size):
        yield piece


def _unless_blank(name: str, chunks: Iterator[str], limit: int) -> Iterator[Document]:
    """Yield a document, unless it is white space only and no longer than `limit`."""
    held: list[str] = []
    for chunk in chunks:
        held.append(chunk)
        if not chunk.isspace() or sum(map(len, held)) > limit:
            yield Document(name, itertools.chain(held, chunks))
            return


def split_pieces(pieces: Iterator[str], separator: str) -> Iterator[Iterator[str]]:
    """Cut a stream at each `separator`, wherever the pieces end: yield the pieces of each part.

    As with `itertools.groupby`, the rest of a part is passed over when the next one is asked for.
    """
    held, start, ended = "", 0, False

    def part() -> Iterator[str]:
        nonlocal held, start, ended
        while (end := held.find(separator, start)) < 0:
            keep = max(start, len(held) - len(separator) + 1)  # a separator may begin there
            ready, held, start = held[start:keep], held[keep:], 0
            piece = next(pieces, "")
            held += piece
            if not piece:
                ready, held, ended = ready + held, "", True
            if ready:
                yield ready
            if ended:
                return
        ready, start = held[start:end], end + len(separator)
        if ready:
            yield ready

    while not ended:
        current = part()
        yield current
        for _ in current:
            pass
