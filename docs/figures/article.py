"""Run the code of docs/article.md, and write what follows from it.

    python docs/figures/article.py           all of it, in about a minute
    python docs/figures/article.py --page    the HTML page and the notebook's words alone

docs/article.md is the source. Its Python blocks are run as a notebook; their outputs and figures
are written back into the page and into docs/figures. From that follow `examples/article.ipynb`,
with outputs, and `docs/article.html`, which needs nothing from outside.

In the source, a block `output` after Python is what it prints, and `text` what it prints where that
may vary from machine to machine. An image after that is what a cell shows as SVG.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from markdown_it import MarkdownIt
from nbclient import NotebookClient
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from groundup.base.files import write_text
from groundup.report.page import Section, esc, page

DOCS = Path(__file__).resolve().parents[1]
SOURCE, PAGE = DOCS / "article.md", DOCS / "article.html"
NOTEBOOK = DOCS.parent / "examples" / "article.ipynb"
BLOCK = re.compile(r"^```(python|output|text)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
IMAGE = re.compile(r"\s*!\[([^\]]*)\]\(([^)]+\.svg)\)")
VARIES = "varies"
"""The tag of a cell whose output another machine may round otherwise."""
SVG = "image/svg+xml"
STYLE = """
article p, article li, details { max-width:46rem; } section { overflow-wrap:anywhere; }
pre { background:var(--panel); border:1px solid var(--edge); border-radius:8px; padding:.7rem 1rem;
  overflow-x:auto; max-width:60rem; margin:.6rem 0 1rem; font:.84rem/1.5 ui-monospace,
  SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace; overflow-wrap:normal; }
pre.printed { background:none; border-style:dashed; margin-top:-.6rem; }
pre:focus-visible { outline:3px solid var(--accent); }
:not(pre) > code { background:var(--panel); border-radius:4px; padding:.1em .3em; font-size:.88em; }
blockquote { margin:1rem 0; padding:.1rem 1rem; border-left:4px solid var(--fill);
  max-width:46rem; background:var(--panel); border-radius:0 8px 8px 0; }
figure.picture { padding:0; max-width:52rem; overflow-x:auto; margin:.6rem 0 1.2rem; }
figure.picture img { display:block; width:100%; min-width:36rem; }
details { border:1px solid var(--edge); border-radius:10px; padding:.4rem 1rem; margin:1.2rem 0; }
summary { font-weight:600; }
"""
COLOURS = """
.k, .kn, .kc, .ow, .kd { color:var(--c0); } .s, .s1, .s2, .sd, .sa, .si, .se { color:var(--c2); }
.c1 { color:var(--soft); font-style:italic; } .mi, .mf { color:var(--c1); }
.nf, .nc, .fm { font-weight:650; } .nd { color:var(--c3); }
"""
"""Of the parts of code, by the names that pygments has for them."""
COLOURED = frozenset(re.findall(r"\.\w+", COLOURS))


class Piece(NamedTuple):
    """A stretch of the source: prose, python, output or text (an output that varies)."""

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text if self.kind == "prose" else f"```{self.kind}\n{self.text}```\n"


def pieces(source: str) -> list[Piece]:
    """Cut the source; together the pieces are the source again."""
    found: list[Piece] = []
    prose, end = "", 0
    for match in BLOCK.finditer(source):
        prose += source[end : match.start()]
        end = match.end()
        follows = not prose and bool(found) and found[-1].kind == "python"
        if match[1] != "python" and not follows:
            prose += match[0]
            continue
        if prose:
            found.append(Piece("prose", prose))
            prose = ""
        found.append(Piece(match[1], match[2]))
    return [*found, Piece("prose", prose + source[end:])]


def cells(found: Sequence[Piece]) -> list[Any]:
    """Return the cells of the notebook, with the outputs that the pieces have."""
    made: list[Any] = []
    for piece in found:
        if piece.kind == "prose":
            made.append(nbformat.v4.new_markdown_cell(_from_examples(piece.text.strip())))
        elif piece.kind == "python":
            made.append(nbformat.v4.new_code_cell(piece.text.rstrip("\n")))
        else:
            made[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=piece.text)]
            made[-1].metadata.tags = [VARIES] * (piece.kind == "text")
    for i, cell in enumerate(made):
        cell.id = f"cell-{i}"
        cell.metadata = {"tags": [VARIES]} if cell.metadata.get("tags") else {}
    return made


def _from_examples(text: str) -> str:
    """Return prose of docs/ with its links as they lead from examples/."""
    return LINK.sub(lambda m: os.path.relpath(DOCS / m[1], NOTEBOOK.parent), text)


def notebook(found: Sequence[Piece]) -> Any:
    """Return the notebook of the source, with the outputs that it shows."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells(found), metadata=metadata)


def run(found: Sequence[Piece]) -> tuple[list[Piece], dict[str, str]]:
    """Run the code; return the pieces with what it printed, and its figures by their paths."""
    done = nbformat.v4.new_notebook(cells=cells([p for p in found if p.kind != "output"]))
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(done, timeout=300, kernel_name="python3", resources=resources).execute()
    ran = iter(cell for cell in done.cells if cell.cell_type == "code")
    told: list[Piece] = []
    figures: dict[str, str] = {}
    for i, piece in enumerate(found):
        if piece.kind in ("output", "text"):
            continue
        told.append(piece)
        if piece.kind != "python":
            continue
        outputs = next(ran).outputs
        if printed := "".join(o.text for o in outputs if o.output_type == "stream"):
            varies = found[i + 1].kind == "text"
            told.append(Piece("text" if varies else "output", printed))
        after = next(p for p in found[i + 1 :] if p.kind == "prose")
        for output in outputs:
            if SVG in output.get("data", {}):
                image = IMAGE.match(after.text)
                if image is None:
                    raise SystemExit(f"no image after the figure of:\n{piece.text}")
                figures[image[2]] = output.data[SVG]
    return told, figures


def html(source: str) -> str:
    """Return the whole page of the source, with the figures of docs/figures inside."""
    title, first, *rest = _chapters(pieces(source))
    header = f"<h1>{esc(title)}</h1>{first}"
    sections = [
        Section(anchor(heading), heading, body)
        for heading, body in zip(rest[::2], rest[1::2], strict=True)
    ]
    return page(title, header, sections, STYLE + COLOURS)


def _chapters(found: Sequence[Piece]) -> Iterator[str]:
    """Yield the title and what stands under it as HTML, then likewise for each chapter."""
    body, code = "", ""
    for piece in found:
        if piece.kind == "prose":
            first, *others = re.split(r"^#{1,2} (.*)\n", piece.text, flags=re.MULTILINE)
            body += words(first)
            for heading, text in zip(others[::2], others[1::2], strict=True):
                if body:
                    yield body
                yield heading
                body = words(text)
        elif piece.kind == "python":
            code = piece.text
            body += _pre(_coloured(code), "code")
        else:
            is_source = "source(" in code
            body += _pre(_coloured(piece.text) if is_source else esc(piece.text), "printed")
    yield body


def anchor(heading: str) -> str:
    """Return the name of a heading in links, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def words(text: str) -> str:
    """Return Markdown as HTML; tables scroll sideways alone, and pictures are inside."""
    text = re.sub(r"<!--.*?-->\n", "", text)
    made = str(MarkdownIt("commonmark").enable("table").render(text))
    made = re.sub(r"<p>(<img [^>]*>)</p>", _picture, made)
    made = made.replace("<pre>", '<pre tabindex="0">')
    made = made.replace("<table>", '<div class="scroll" tabindex="0"><table class="words">')
    return made.replace("</table>", "</table></div>")


def _picture(image: re.Match[str]) -> str:
    found = re.search(r'src="([^"]*)"', image[1])
    assert found is not None, "an image has a source"
    data = base64.b64encode((DOCS / found[1]).read_bytes()).decode()
    inside = image[1].replace(found[0], f'src="data:{SVG};base64,{data}"')
    return f'<figure class="picture" tabindex="0">{inside}</figure>'


def _coloured(code: str) -> str:
    """Return code as HTML, marked where `STYLE` has a colour."""
    marked = str(highlight(code, PythonLexer(), HtmlFormatter(nowrap=True)))
    return re.sub(
        r'<span class="(\w+)">(.*?)</span>',
        lambda m: m[0] if f".{m[1]}" in COLOURED else m[2],
        marked,
        flags=re.DOTALL,
    )


def _pre(inside: str, css: str) -> str:
    return f'<pre class="{css}" tabindex="0"><code>{inside}</code></pre>'


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the article's notebook and page.")
    parser.add_argument("--page", action="store_true", help="without running the code again")
    given = parser.parse_args()
    found = pieces(SOURCE.read_text("utf-8"))
    if not given.page:
        found, figures = run(found)
        write_text(SOURCE, "".join(map(str, found)))
        for name, picture in figures.items():
            write_text(DOCS / name, picture)
    write_text(NOTEBOOK, nbformat.writes(notebook(found)) + "\n")
    write_text(PAGE, html(SOURCE.read_text("utf-8")))
    for path in (NOTEBOOK, PAGE):
        print(f"{path.relative_to(DOCS.parent)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
