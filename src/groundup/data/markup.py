"""The text of a web page, an EPUB book or a Word document, without its markup.

A paragraph, a heading or a table stands apart by an empty line, an item or a row by a line. Each
file is held in memory whole, a book a chapter at a time; none may have more than 64 MiB.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from groundup.base.errors import DataError, shown
from groundup.data.packed import Member, StoredFile, byte_pieces, zip_members
from groundup.data.streams import LARGEST_RECORD, longer_than, plain_text, text_pieces

UNSEEN = {"script", "style", "title", "template", "noscript", "svg", "math", "object"}
LINES = {"br", "div", "li", "tr", "dt", "dd", "option", "caption", "figcaption", "legend"}
PARAGRAPHS = {
    *(f"h{level}" for level in range(1, 7)),
    *("p", "pre", "blockquote", "ul", "ol", "dl", "table", "hr", "figure", "form", "address"),
    *("article", "section", "header", "footer", "main", "nav", "aside", "details", "body"),
}
LONGEST_END = 1 << 10
"""Characters of an unfinished tag at the end: the parser's time grows with the square of them."""
GAPS = ["", " ", "\n", "\n\n"]
SPACE, LINE, PARAGRAPH = 1, 2, 3


class _PageText(HTMLParser):
    """Collects what a reader of a page sees; `gap` is the widest space before what comes next."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.gap = 0
        self.unseen = ""  # the element that is passed over
        self.as_is = 0  # how many <pre> are open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in UNSEEN and not self.unseen:
            self.unseen = tag
        self._part(tag)
        self.as_is += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self._part(tag)  # as <title/> in XHTML: nothing is inside

    def handle_endtag(self, tag: str) -> None:
        if tag == self.unseen:
            self.unseen = ""
        self._part(tag)
        self.as_is -= tag == "pre" and self.as_is > 0

    def handle_data(self, data: str) -> None:
        if self.unseen:
            return
        if self.as_is:
            self._add(data)
            return
        words = re.sub(r"[ \t\n\f]+", " ", data)
        self._widen(SPACE * words.startswith(" "))
        if words.strip(" "):
            self._add(words.strip(" "))
        self._widen(SPACE * words.endswith(" "))

    def _part(self, tag: str) -> None:
        cell = SPACE * (tag in ("td", "th"))
        self._widen(PARAGRAPH if tag in PARAGRAPHS else LINE if tag in LINES else cell)

    def _widen(self, gap: int) -> None:
        self.gap = max(self.gap, gap)

    def _add(self, text: str) -> None:
        self.parts += [GAPS[self.gap] if self.parts else "", text]
        self.gap = 0


def page_text(html: str, name: str) -> str:
    """Return the text of a page of HTML or XHTML; one that breaks off in a tag is a `DataError`."""
    parser = _PageText()
    parser.feed(html)
    if len(parser.rawdata) > LONGEST_END:
        start = shown(parser.rawdata, 30)
        raise DataError(f"{name}: the page breaks off inside {start}; fetch it again, or mend it")
    parser.close()
    return "".join(parser.parts) + "\n" * bool(parser.parts)


def html_text(path: StoredFile, encoding: str) -> Iterator[str]:
    """Yield the text of a web page."""
    html = ""
    for piece in text_pieces(byte_pieces(path), str(path), encoding):
        html += piece
        if longer_than(html, LARGEST_RECORD):
            raise DataError(
                f"{path}: a page of HTML may have {LARGEST_RECORD >> 20} MiB; cut it into pages, "
                "or give its text"
            )
    yield page_text(html, str(path))


def epub_text(path: StoredFile, encoding: str) -> Iterator[str]:
    """Yield the text of an EPUB book, chapter by chapter in the order of reading."""
    with zip_members(path) as members:
        for chapter in _chapters(members, str(path)):
            if text := page_text(plain_text(chapter.read(), str(chapter)), str(chapter)):
                yield text + "\n"


def _chapters(members: dict[str, Member], name: str) -> list[Member]:
    try:
        (root,) = _named(_xml(members["META-INF/container.xml"]), "rootfile")[:1]
        package = _xml(members[root.attrib["full-path"]])
        folder = posixpath.dirname(root.attrib["full-path"])
        places = {item.attrib["id"]: item.attrib["href"] for item in _named(package, "item")}
        spine = [places[item.attrib["idref"]] for item in _named(package, "itemref")]
        paths = [posixpath.normpath(posixpath.join(folder, unquote(href))) for href in spine]
        chapters = [members[path] for path in paths]
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{name}: expected an EPUB book, but it lacks {error}; fetch it again, or give its text"
        ) from error
    sealed = members.get("META-INF/encryption.xml")
    if sealed and {e.attrib.get("URI") for e in _named(_xml(sealed), "CipherReference")} & {*paths}:
        raise DataError(f"{name}: encrypted (DRM), so that it cannot be read; give its text")
    return chapters


def docx_text(path: StoredFile, encoding: str) -> Iterator[str]:
    """Yield the text of a Word document, a paragraph a line, those in tables too."""
    with zip_members(path) as members:
        if "word/document.xml" not in members:
            raise DataError(f"{path}: expected a Word document; save it as plain text")
        document = _xml(members["word/document.xml"])
    yield "".join(_runs(document)).lstrip("\n") + "\n"


def _runs(document: ElementTree.Element) -> Iterator[str]:
    """Yield line ends and what stands in the runs, each text once."""
    for element in document.iter():
        for child in list(element):
            if _tag(child) == "Fallback":  # says again, for old readers, what stands beside it
                element.remove(child)
        if _tag(element) == "p":
            yield "\n"
        elif _tag(element) == "r":
            for child in element:
                yield {"t": child.text or "", "tab": "\t", "br": "\n", "cr": "\n"}.get(
                    _tag(child), ""
                )


def _tag(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def _named(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if _tag(element) == name]


def _xml(member: Member) -> ElementTree.Element:
    """Parse a member; one that defines entities, which may unfold without end, is refused."""
    raw = member.read()
    try:
        if b"<!ENTITY" in raw:
            raise ElementTree.ParseError("it defines entities")
        return ElementTree.fromstring(raw)
    except ElementTree.ParseError as error:
        raise DataError(f"{member}: expected XML, but {error}; save the file again") from error


MARKUP: dict[str, Callable[[StoredFile, str], Iterator[str]]] = {
    ".html": html_text,
    ".htm": html_text,
    ".xhtml": html_text,
    ".epub": epub_text,
    ".docx": docx_text,
}
"""Readers of files with markup, by ending: each yields the text, given the file and an encoding."""
