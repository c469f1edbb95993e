"""Web pages, EPUB books and Word documents as the text that a reader sees."""

from __future__ import annotations

import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from groundup.data.markup import page_text
from groundup.data.reading_log import ReadingLog
from tests.data.reading import message, names, read


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two", "one\n\ntwo\n"),
        ("plain words", "plain words\n"),
        ("<h1>A</h1>\n<p>b <b>c</b>d\n e</p>", "A\n\nb cd e\n"),
        ("a<br>b<br/>c", "a\nb\nc\n"),
        ("<ul>\n <li>x</li>\n <LI>y<ol><li>z</ol></li>\n</ul>", "x\ny\nz\n"),
        ("<ul><li>x<li>y</ul>z", "x\ny\nz\n"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1\t\t2\n3\n"),
        ("<pre>  a\n    b</pre>c", "  a\n    b\nc\n"),
        ("a &amp; b &lt;c&gt; &eacute;&#8212;", "a & b <c> é—\n"),
        ("<!-- no --><style>p {}</style>a<script>if (1 < 2) {}</script> b", "a b\n"),
        ("<head><title>t</title></head><body>x</body>", "x\n"),
        ("<form><p>x</p><button>b</button><select><option>o</select></form>", "x\n"),
        ("<a href='x'>link</a>, <i>it</i>.<img alt='picture'>", "link, it.\n"),
        ("a\u00a0b", "a\u00a0b\n"),
        ("1 < 2 and <3", "1 < 2 and <3\n"),
        ("<p> </p>", ""),
        ("", ""),
        ("<p>cut in a comment</p><!-- ab", "cut in a comment\n"),
        ("<p>cut in a script</p><script>x = 1;", "cut in a script\n"),
        # XML closes in the tag what HTML does not
        ("<?xml version='1.0'?><html><title/><script src='a'/><p>x</p></html>", "x\n"),
        ("<!DOCTYPE html><html xmlns='w3'><title/><style/><p>x</p></html>", "x\n"),
        ("<html xmlns='w3'>a<select/><a id='b/c'/><button/>b<br/>c<img\nsrc='x'/>d", "ab\ncd\n"),
        ("<html><script src='a'/><p>code</p></script><p>x</p></html>", "x\n"),
    ],
)
def test_page(html: str, text: str) -> None:
    assert page_text(html, "x") == text


UNENDED = [
    "<a" + "a" * 199_998,
    "<",
    "<a ",
    "<!",
    "</",
    "<!--",
    "<?",
    '<a href="',
    "<![CDATA[",
    "<script>",
    "&",
]
NESTED = ["<div>x", "<b>x", "<ul><li>x", "<table><tr><td>x", "<a><b><i><p>x", "<font><p>x"]


@pytest.mark.parametrize("unit", UNENDED + NESTED)
def test_what_never_ends_takes_little_time_and_room(unit: str) -> None:
    begun = time.perf_counter()
    text = page_text("<p>begin</p>" + unit * (200_000 // len(unit)) + "<p>end", "x")
    page_text("<?xml version='1.0'?>" + unit * (200_000 // len(unit)), "x")
    assert time.perf_counter() - begun < 10
    assert text.startswith("begin\n")
    assert len(text) < 1_000_000
    assert unit not in NESTED or text.count("x") == 200_000 // len(unit)
    assert unit not in NESTED or text.endswith("end\n")


def test_a_page_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundup.data.markup.LARGEST_RECORD", 100)
    (tmp_path / "a.html").write_text("<p>" + "x" * 97)
    assert read(tmp_path, chunk_size=7) == ["x" * 97 + "\n"]
    (tmp_path / "a.html").write_text("<p>" + "\u00e9" * 50)
    assert "a.html: a page of HTML may have" in message(tmp_path)


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("utf-8", ""),
        ("utf-8", "<meta charset=iso-8859-1>"),
        ("cp1252", "<meta charset=iso-8859-1>"),
        ("latin-1", '<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1">'),
        ("cp1251", "<meta charset='windows-1251'>"),
        ("euc-jp", '<?xml version="1.0" encoding="EUC-JP"?>'),
        ("iso2022_jp", "<meta charset=iso-2022-jp>"),
        ("gbk", "<meta charset=gb2312>"),
    ],
)
def test_a_page_is_in_the_encoding_that_it_is_in(tmp_path: Path, encoding: str, head: str) -> None:
    words = {"cp1251": "снег", "euc-jp": "雪", "iso2022_jp": "雪", "gbk": "雪下得很大"}.get(
        encoding, "été"
    )
    (tmp_path / "a.html").write_bytes(f"{head}<p>{words}".encode(encoding))
    assert read(tmp_path) == [f"{words}\n"]


def test_a_page_in_an_encoding_that_it_does_not_name(tmp_path: Path) -> None:
    for head in ("", "<meta charset=nonsense>"):
        (tmp_path / "a.html").write_bytes(f"{head}<p>été".encode("latin-1"))
        assert "is not utf-8" in message(tmp_path)


def test_pages_without_text_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<div id=root></div><script>fill()</script>")
    assert "empty; expected some text" in message(tmp_path)
    (tmp_path / "b.html").write_text("<p>words")
    log = ReadingLog()
    assert read(tmp_path, log=log) == ["words\n"]
    assert f"skipped files without a text: 1 ({tmp_path}/a.html)" in log.lines()


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


def packed(path: Path, members: Mapping[str, str | bytes]) -> Path:
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


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
WORD = f"""<?xml version="1.0"?><w:document {W} {MC}><w:body>
<w:p><w:r><w:t>One</w:t><w:tab/><w:t>two</w:t></w:r>
<w:hyperlink><w:r><w:t xml:space="preserve"> link</w:t></w:r></w:hyperlink></w:p>
<w:p><w:r><w:t>a &lt;b&gt;</w:t><w:br/><w:t>b</w:t></w:r>
<w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>cell</w:t></w:r></w:p></w:tc>
<w:tc><w:p><w:r><w:t>next</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
<w:sdt><w:sdtContent><w:p><w:r><w:t>control</w:t></w:r></w:p></w:sdtContent></w:sdt>
<w:p><w:r><mc:AlternateContent><mc:Choice><w:t>new</w:t></mc:Choice>
<mc:Fallback><w:t>once</w:t></mc:Fallback></mc:AlternateContent></w:r></w:p></w:body></w:document>"""
TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'


def word(path: Path, document: str, **others: str | bytes) -> Path:
    parts: dict[str, str | bytes] = {"[Content_Types].xml": TYPES, "word/document.xml": document}
    return packed(path, parts | others)


def test_a_word_document(tmp_path: Path) -> None:
    path = word(tmp_path / "a.docx", WORD)
    text = "One two link\n\na <b>\nbnew\n\ncell\t\tnext\n\ncontrol\n\nonce\n"
    assert read(path) == [text]
    outer = tmp_path / "papers.zip"
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(path, "a.docx")
    assert read(outer) == [text]


def test_a_word_document_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = {"word/media/a.png": "x" * 10_000}
    path = word(tmp_path / "a.docx", WORD, **pictures)
    monkeypatch.setattr("groundup.data.markup.LARGEST_RECORD", 5_000)
    assert read(path)
    monkeypatch.setattr("groundup.data.markup.LARGEST_RECORD", 1_000)
    assert "a.docx: over" in message(path)


def test_a_word_document_that_is_none(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.docx", {"xl/workbook.xml": ""})
    assert "expected a Word document" in message(path)
    path = word(path, "<a>")
    assert "a.docx: expected a Word document, but no element found: line 1" in message(path)
    deep = WORD.replace("<w:sdt>", "<w:p>" * 20_000 + "</w:p>" * 20_000 + "<w:sdt>")
    assert "a.docx: expected a Word document, but maximum recursion" in message(word(path, deep))
    path.write_bytes(b"words")
    assert "not zip though it ends in .docx, but plain text" in message(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("part", ["word/document.xml", "word/styles.xml"])
def test_entities_that_may_unfold(tmp_path: Path, part: str, encoding: str) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>'.encode(encoding)
    path = word(tmp_path / "a.docx", WORD, **{part: bomb})
    assert f"a.docx/{part}: it defines entities" in message(path)
    book = packed(tmp_path / "a.epub", BOOK | {"O/p.opf": bomb})
    assert "a.epub/O/p.opf: it defines entities" in message(book)


@pytest.fixture(params=["resiliparse", "mammoth"])
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One of the packages, which then cannot be imported."""
    for module in [name for name in sys.modules if name.split(".")[0] == request.param]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, request.param, None)
    return str(request.param)


INSTALL = "run: pip install 'groundup[documents]'"


def test_a_named_file_without_the_package(tmp_path: Path, missing: str) -> None:
    (tmp_path / "a.html").write_text("<p>x")
    path = tmp_path / "a.html" if missing == "resiliparse" else word(tmp_path / "a.docx", WORD)
    expected = f"{path}: reading it needs the package {missing}, which is not installed; {INSTALL}"
    assert message(path) == expected
    assert message(tmp_path / f"*{path.suffix}").startswith(expected)
    assert message(tmp_path, include=[f"*{path.suffix}"]).startswith(expected)


@pytest.mark.usefixtures("missing")
def test_a_folder_without_the_packages(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a.html", "b.html", "c.htm.gz"):
        (folder / name).write_text("<p>x")
    told = f"skipped 3: 2 .html, 1 .htm.gz; to read .htm, .html, {INSTALL}"
    assert f"no text in this folder ({told})" in message(folder)
    (folder / "d.txt").write_text("plain")
    log = ReadingLog()
    assert read(folder, log=log) == ["plain"]
    assert log.lines() == [f"{folder}: {told}"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    log = ReadingLog()
    assert read(tmp_path / "a.zip", log=log) == ["plain"]
    assert log.lines() == [f"{tmp_path}/a.zip: {told}"]
