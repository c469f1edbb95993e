"""Web pages, EPUB books and Word documents as the text that a reader sees."""

from __future__ import annotations

import contextlib
import time
import zipfile
from pathlib import Path

import pytest

from groundup.base.errors import DataError
from groundup.data.markup import page_text
from groundup.data.reading import ReadingLog
from tests.data.reading import message, names, read


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two", "one\n\ntwo\n"),
        ("plain words", "plain words\n"),
        ("<h1>A</h1>\n<p>b <b>c</b>d\n e</p>", "A\n\nb cd e\n"),
        ("a<br>b<br/>c", "a\nb\nc\n"),
        ("<ul>\n <li>x</li>\n <li>y</li>\n</ul>", "x\ny\n"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3\n"),
        ("<pre>a\n  b</pre>c", "a\n  b\n\nc\n"),
        ("a &amp; b &lt;c&gt; &eacute;&#8212;", "a & b <c> é—\n"),
        ("<!-- no --><style>p {}</style>a<script>if (1 < 2) {}</script> b", "a b\n"),
        ("<head><title>t</title></head><body>x</body>", "x\n"),
        ("<title/><p>x</p>", "x\n"),
        ("<a href='x'>link</a>, <i>it</i>.", "link, it.\n"),
        ("a\u00a0b", "a\u00a0b\n"),
        ("1 < 2 and <3", "1 < 2 and <3\n"),
        ("<p> </p>", ""),
    ],
)
def test_page(html: str, text: str) -> None:
    assert page_text(html, "x") == text


@pytest.mark.parametrize(
    "unit",
    ["<", "<a ", "<!", "</", "<!--", "<?", '<a href="', "<![CDATA[", "<script>", "&", "<p>x"],
)
def test_what_never_ends_takes_little_time(unit: str) -> None:
    begun = time.perf_counter()
    with contextlib.suppress(DataError):
        page_text(unit * (100_000 // len(unit)), "x")
    assert time.perf_counter() - begun < 10


def test_a_page_that_breaks_off(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>one</p><script>" + "x = 1;" * 1000)
    assert "a.html: the page breaks off inside x = 1;x = 1;" in message(tmp_path)


def test_pages_are_read_in_pieces_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"\xef\xbb\xbf<p>one\r\ntwo</p>")
    (tmp_path / "b.htm").write_bytes("<p>été</p>".encode())
    log = ReadingLog()
    assert read(tmp_path, chunk_size=2, log=log) == ["one two\n", "été\n"]
    assert ".html files are read as text, without their markup" in log.lines()
    assert read(tmp_path / "a.html", split_on="two") == ["one "]


def test_a_page_of_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes("<p>été</p>".encode("latin-1"))
    assert "byte 0xe9 at offset 3 is not utf-8" in message(tmp_path)
    assert read(tmp_path, encoding="latin-1") == ["été\n"]


CONTAINER = (
    '<container xmlns="c"><rootfiles><rootfile full-path="O/p.opf"/></rootfiles></container>'
)
PACKAGE = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf"><manifest>
<item id="i2" href="t/two%20b.xhtml"/><item id="i1" href="one.xhtml"/><item id="css" href="s.css"/>
</manifest><spine><itemref idref="i1"/><itemref idref="i2"/></spine></package>"""
BOOK = {
    "META-INF/container.xml": CONTAINER,
    "O/p.opf": PACKAGE,
    "O/t/two b.xhtml": "<html><body><h2>Two</h2><p>b</p></body></html>",
    "O/one.xhtml": "<?xml version='1.0'?><html><body><p>One\u2019s</p></body></html>",
    "O/s.css": "p {}",
}


def packed(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_book_in_the_order_of_reading(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.epub", BOOK)
    assert read(path, chunk_size=3) == ["One\u2019s\n\nTwo\n\nb\n\n"]
    assert names(path) == [str(path)]


@pytest.mark.parametrize("gone", ["META-INF/container.xml", "O/p.opf", "O/one.xhtml"])
def test_a_book_that_lacks_a_part(tmp_path: Path, gone: str) -> None:
    path = packed(tmp_path / "a.epub", {n: c for n, c in BOOK.items() if n != gone})
    assert f"expected an EPUB book, but it lacks '{gone}'" in message(path)


def test_a_sealed_book(tmp_path: Path) -> None:
    sealed = '<encryption><CipherReference URI="{}"/></encryption>'
    fonts = BOOK | {"META-INF/encryption.xml": sealed.format("O/font.otf")}
    assert read(packed(tmp_path / "a.epub", fonts))
    chapters = BOOK | {"META-INF/encryption.xml": sealed.format("O/one.xhtml")}
    assert "a.epub: encrypted (DRM)" in message(packed(tmp_path / "a.epub", chapters))


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:m="m"'
WORD = f"""<?xml version="1.0"?><w:document {W}><w:body>
<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>One</w:t><w:tab/><w:t>two</w:t></w:r>
<w:hyperlink><w:r><w:t xml:space="preserve"> link</w:t></w:r></w:hyperlink></w:p>
<w:p><w:r><w:t>a</w:t><w:br/><w:t>b</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>cell</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
<w:p><w:r><m:AlternateContent><m:Choice><w:p><w:r><w:t>once</w:t></w:r></w:p>
</m:Choice><m:Fallback><w:p><w:r>
<w:t>once</w:t></w:r></w:p></m:Fallback></m:AlternateContent></w:r></w:p></w:body></w:document>"""


def test_a_word_document(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.docx", {"[Content_Types].xml": "", "word/document.xml": WORD})
    assert read(path) == ["One\ttwo link\na\nb\ncell\n\nonce\n"]


def test_a_word_document_that_is_none(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.docx", {"xl/workbook.xml": ""})
    assert "expected a Word document" in message(path)
    path = packed(tmp_path / "a.docx", {"word/document.xml": "<a>"})
    assert "document.xml: expected XML, but" in message(path)
    bomb = '<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>'
    path = packed(tmp_path / "a.docx", {"word/document.xml": bomb})
    assert "defines entities" in message(path)
    path.write_bytes(b"words")
    assert "not zip though it ends in .docx, but plain text" in message(path)
