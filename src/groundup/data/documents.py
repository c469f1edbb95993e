"""Any text as documents: from files, folders, globs, named corpora and standard input.

A document is a file, a record of a file of records, or a part of a file between two separators. Its
text comes in pieces, so that memory stays bounded however long a document or a line may be.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from groundup.base.errors import DataError, UsageError
from groundup.base.files import file_error, temporary_file
from groundup.data.compressed import StoredFile, byte_pieces, zip_members
from groundup.data.folders import ARCHIVE, STANDARD_INPUT, FileFilter, Selection, format_of
from groundup.data.kinds import looks_like
from groundup.data.markup import MARKUP
from groundup.data.reading_log import ReadingLog
from groundup.data.record_files import RECORD_FORMATS, file_texts
from groundup.data.streams import CHUNK_SIZE, incremental_decoder, plain_newlines, text_pieces
from groundup.data.texts import Reading, check_on_bad_record

REMEDIES = {
    "JSON": "the records of a file that ends in .jsonl or .json are read one by one",
    "a web page": "of a file that ends in .html only the text is read",
}
"""What is said of files that another ending would have read better."""
MARK = re.compile(r"(?m)^<\|end_?of_?text\|>|<\|end_?of_?text\|>$")


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

    records: Reading
    split_on: str | None
    encoding: str
    stdin: BinaryIO | None
    chunk_size: int
    selection: Selection
    named: Set[str]
    """The sources as they were given; other files were found in folders and by globs."""
    blank: list[str] = field(default_factory=list)
    """Files without a text, such as a page that a script fills in, or a book of pictures."""

    def documents(self, path: StoredFile) -> Iterator[Document]:
        """Yield the documents of a file; an error in one that was found says how to pass by it."""
        document = None
        try:
            for document in self._documents(path):
                yield document
        except DataError as error:
            if str(path) in self.named or not isinstance(path, Path):
                raise
            others = "'FOLDER/**/*.txt' names some files only"
            raise DataError(f"{error}; or leave the file out: {others}") from error
        if document is None and format_of(path) != ARCHIVE:  # which tells what it holds
            self.blank.append(str(path))

    def _documents(self, path: StoredFile) -> Iterator[Document]:
        name, kind = str(path), format_of(path)
        if path == Path(STANDARD_INPUT):
            yield from self._texts(_input_pieces(self.stdin, self.chunk_size), "standard input")
        elif kind == ARCHIVE:
            yield from self._members(path)
        elif kind in MARKUP:
            yield from self._marked_up(path, kind)
        elif kind in RECORD_FORMATS:
            yield from self._records(
                file_texts(path, kind, self.records, self.encoding, self.chunk_size)
            )
        else:
            yield from self._texts(byte_pieces(path, self.chunk_size), name)

    def _marked_up(self, path: StoredFile, kind: str) -> Iterator[Document]:
        self.selection.log.chose(kind, f"{kind} files are read as text, without their markup")
        texts = (_cut(text, self.chunk_size) for text in MARKUP[kind](path, self.encoding))
        yield from self._parts(itertools.chain.from_iterable(texts), str(path))

    def _members(self, path: StoredFile) -> Iterator[Document]:
        with zip_members(path) as members:
            file_filter = FileFilter(str(path), self.selection)
            wanted = [m for m in members.values() if file_filter.takes(m.inside, archives=False)]
            file_filter.log_skipped()
            for member in wanted:
                yield from self.documents(member)

    def _records(self, texts: Iterator[tuple[str, str]]) -> Iterator[Document]:
        for label, text in texts:
            yield Document(label, _cut(text, self.chunk_size))

    def _texts(self, raw: Iterator[bytes], name: str) -> Iterator[Document]:
        pieces = text_pieces(raw, name, self.encoding)
        head = next(pieces, "")
        if looks := looks_like(head):
            notice = f"read as plain text, though it looks like {looks}; {REMEDIES[looks]}"
            self.selection.log.read(name, notice)
        if self.split_on is None and "<|end" in head and (mark := MARK.search(head)):  # is slow
            notice = f"{mark[0]} stands in the text; --split-on '{mark[0]}' would part it there"
            self.selection.log.read(name, notice)
        yield from self._parts(itertools.chain([head] * bool(head), pieces), name)

    def _parts(self, pieces: Iterator[str], name: str) -> Iterator[Document]:
        if self.split_on is None:
            yield from _unless_blank(name, pieces, self.chunk_size)
            return
        for number, part in enumerate(split_pieces(pieces, self.split_on), 1):
            yield from _unless_blank(f"{name}, part {number}", part, self.chunk_size)


def _cut(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def read_documents(
    sources: Sequence[str],
    *,
    include: Sequence[str] = (),
    text_field: str | None = None,
    on_bad_record: str = "stop",
    split_on: str | None = None,
    encoding: str = "utf-8",
    stdin: BinaryIO | None = None,
    chunk_size: int = CHUNK_SIZE,
    log: ReadingLog | None = None,
) -> Iterator[Document]:
    """Yield the documents of `sources`, in their order and sorted by name within each.

    A source is a file, a folder, a glob, the name of a corpus, or "-" for `stdin`, which is read
    from its start where it can be rewound (see `standard_input`); a zip archive is a folder of its
    members. `include` are patterns of names, or of paths inside a folder: such files are read as
    plain text beside those of known endings. `text_field` names the text of a record (without it
    see `data/text_fields.py`), `on_bad_record` ("stop" or "skip") says what becomes of one that is
    broken or has something else there, `split_on` cuts plain texts at that string, `chunk_size` is
    the most characters a piece of text has. `log` receives what was guessed and skipped. Blank
    documents are skipped. Raises `UsageError` for a source that is not there or a pattern that no
    file meets, and `DataError` for a text that cannot be used or where all is blank.
    """
    if split_on == "":
        raise UsageError("the string to split on is empty; leave it out for a document a file")
    check_on_bad_record(on_bad_record)
    incremental_decoder(encoding)  # refuses one that is unknown before anything is read
    selection = Selection(include, ReadingLog() if log is None else log)
    paths = selection.files(sources)
    reader = _Reader(
        records=Reading(text_field=text_field, on_bad_record=on_bad_record, log=selection.log),
        split_on=plain_newlines(split_on) if split_on else None,
        encoding=encoding,
        stdin=stdin,
        chunk_size=chunk_size,
        selection=selection,
        named=set(sources),
    )
    documents = itertools.chain.from_iterable(map(reader.documents, paths))
    return _at_least_one(documents, sources, reader)


def _at_least_one(
    documents: Iterator[Document], sources: Sequence[str], reader: _Reader
) -> Iterator[Document]:
    document, log = None, reader.selection.log
    for document in documents:
        yield document
    reader.selection.check_matched(sources)
    if document is None:
        lines = log.lines()
        told = f" ({'; '.join(lines)})" if lines else ""
        raise DataError(f"{' '.join(sources)}: empty; expected some text{told}")
    for file in reader.blank:
        log.skip("files without a text", file)


@contextlib.contextmanager
def standard_input(
    sources: Sequence[str], stdin: BinaryIO | None = None
) -> Iterator[BinaryIO | None]:
    """Yield a copy of standard input on disk, to be read more than once, if "-" is a source."""
    if STANDARD_INPUT not in sources:
        yield None
        return
    with temporary_file() as copy:
        copy.writelines(_endless_refused(_input_pieces(stdin, CHUNK_SIZE)))
        copy.flush()
        yield cast(BinaryIO, copy)


def _endless_refused(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces, unless one is nothing but zeros, or all take half of the disk's room."""
    n_bytes, room = 0, shutil.disk_usage(tempfile.gettempdir()).free // 2
    for piece in pieces:
        n_bytes += len(piece)
        if len(piece) == CHUNK_SIZE and not piece.strip(b"\0"):
            raise DataError("standard input: nothing but zeros in it; pipe in a text")
        if n_bytes > room:
            raise DataError(
                f"standard input: over {n_bytes >> 20} MiB, half of the room for the copy of it in "
                f"{tempfile.gettempdir()}; write it to a file, and name that"
            )
        yield piece


def _input_pieces(stdin: BinaryIO | None, size: int) -> Iterator[bytes]:
    stream = stdin or sys.stdin.buffer
    if stdin is not None and stdin.seekable():
        stdin.seek(0)
    try:
        while piece := stream.read(size):
            yield piece
    except OSError as error:
        raise file_error(Path("standard input"), error) from error


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
