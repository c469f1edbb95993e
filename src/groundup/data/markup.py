"""The text of a web page, an EPUB book or a Word document, without its markup.

Resiliparse reads pages, as it does for others' corpora of the web; mammoth makes a page of a Word
document. Each is held in memory whole, a book a chapter at a time; a page, a chapter or what a Word
document has besides pictures may have 64 MiB.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib.util
import io
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator
from urllib.parse import unquote
from xml.etree import ElementTree

from groundup.base.errors import DataError, shown
from groundup.data.compressed import Member, StoredFile, byte_pieces, zip_members
from groundup.data.streams import LARGEST_RECORD, optional, plain_text, text_pieces

EXTRA = "documents"
PACKAGES = ("resiliparse", "mammoth")

LISTS = re.compile(r"<(/?)(?:ul|ol|menu|dir|li)\b", re.IGNORECASE)
XHTML = re.compile(r"\s*<\?xml\b|[^<]*(?:<[!?][^<]*)*<html\b[^<>]*\bxmlns\b")
VOID = "area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr"  # never closed
EMPTY = re.compile(rf"<(?!(?:{VOID})\b)([a-zA-Z][^\s<>/]*+)([^<>]*)/>")
DECLARED = re.compile(
    rb"<(?:meta|\?xml)\b[^<>]{0,200}?\b(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)",
    re.IGNORECASE,
)
WINDOWS = {"iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "gb2312": "gbk"}
"""Encodings by whose names pages mean larger ones (encoding.spec.whatwg.org)."""
CELLS = re.compile(r"(<t[dh]\b[^<>]*>)<p>|</p>(?=</t[dh]>)")


def can_read_markup() -> bool:
    """Whether the packages that read markup are installed."""
    return all(map(importlib.util.find_spec, PACKAGES))


def page_text(html: str, name: str) -> str:
    """Return the text of a page of HTML or XHTML: a paragraph between empty lines, an item a line.

    Cells of a row are parted by tabs. The title, scripts, styles, descriptions of pictures, buttons
    and fields to fill in are left out.
    """
    extract = optional("resiliparse.extract.html2text", EXTRA, name).extract_plain_text
    # An item begins a line like any <div>. As a list each level is indented: 200 kB of lists that
    # are never closed would become 600 MB of spaces.
    html = LISTS.sub(r"<\1div", html)
    if XHTML.match(html):  # else <title/> is one that never ends, and hides the rest
        html = EMPTY.sub(r"<\1\2></\1>", html)
    text: str = extract(html, preserve_formatting=True, alt_texts=False)
    return text.strip("\n") + "\n" if text.strip() else ""


def html_text(path: StoredFile, encoding: str) -> Iterator[str]:
    """Yield the text of a web page, which is in `encoding` or, where it is not, as it says."""
    raw = bytearray()
    for piece in byte_pieces(path):
        raw += piece
        if len(raw) > LARGEST_RECORD:
            raise DataError(
                f"{path}: a page of HTML may have {LARGEST_RECORD >> 20} MiB; cut it into pages, "
                "or give its text"
            )
    if encoding == "utf-8":
        encoding = _encoding_of(bytes(raw))
    yield page_text("".join(text_pieces([bytes(raw)], str(path), encoding)), str(path))


def _encoding_of(page: bytes) -> str:
    """Return utf-8 where a page is that, else the encoding that it declares, if Python knows it.

    A page that is both declares wrongly, unless what it declares writes all in 7 bits.
    """
    found = DECLARED.search(page[:1024])
    try:
        declared = codecs.lookup(found[1].decode()).name if found else "utf-8"
    except LookupError:
        return "utf-8"
    if not declared.startswith(("iso2022", "hz", "utf-7")):
        with contextlib.suppress(UnicodeDecodeError):
            page.decode("utf-8")
            return "utf-8"
    return WINDOWS.get(declared, declared)


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
    """Yield the text of a Word document, its tables and notes too."""
    mammoth = optional("mammoth", EXTRA, str(path))
    texts = io.BytesIO()  # the document without pictures
    with zip_members(path) as members, zipfile.ZipFile(texts, "w") as copy:
        if "word/document.xml" not in members:
            raise DataError(f"{path}: expected a Word document; save it as plain text")
        for name, member in members.items():
            if member.suffix in (".xml", ".rels"):
                copy.writestr(name, _plain_xml(member))
            if texts.tell() > LARGEST_RECORD:
                raise DataError(f"{path}: over {LARGEST_RECORD >> 20} MiB; save it as plain text")
    try:
        html = mammoth.convert_to_html(texts, convert_image=lambda image: []).value
    except Exception as error:  # whatever a foreign file makes a parser do
        raise DataError(
            f"{path}: expected a Word document, but {shown(str(error), 80)}; save it as plain text"
        ) from error
    yield page_text(CELLS.sub(r"\1", html), str(path))


def _named(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Return the elements of that name, in any namespace."""
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == name]


def _xml(member: Member) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(_plain_xml(member))
    except ElementTree.ParseError as error:
        raise DataError(f"{member}: expected XML, but {error}; save the file again") from error


def _plain_xml(member: Member) -> bytes:
    """Return the XML of a member; one with entities, which may unfold without end, is refused."""
    raw = member.read()
    if b"<!ENTITY" in raw.replace(b"\0", b""):  # in UTF-16, too
        raise DataError(f"{member}: it defines entities, which may unfold; save the file again")
    return raw


MARKUP: dict[str, Callable[[StoredFile, str], Iterator[str]]] = {
    ".html": html_text,
    ".htm": html_text,
    ".xhtml": html_text,
    ".epub": epub_text,
    ".docx": docx_text,
}
"""Readers of files with markup, by ending: each yields the text, given the file and an encoding."""
