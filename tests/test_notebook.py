"""The notebooks in examples/ run from top to bottom, and show what running them gives."""

from __future__ import annotations

import copy
import importlib.util
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
VARIES = "varies"
"""A cell with this tag has learnt or drawn something: another machine may round it otherwise."""
SVG = "image/svg+xml"
AGAIN = "the files that follow from docs/article.md are older than it: run 'make article'"


@pytest.fixture
def article() -> Any:
    """Return what writes the article's notebook and page."""
    path = ROOT / "docs" / "figures" / "article.py"
    spec = importlib.util.spec_from_file_location("article", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


def shown(cell: Any) -> str:
    """Return what a cell shows as text, in however many pieces it came; figures are files."""
    if VARIES in cell["metadata"].get("tags", []):
        return ""
    outputs = [output for output in cell["outputs"] if SVG not in output.get("data", {})]
    return "".join(output.get("text") or output["data"]["text/plain"] for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_its_outputs_are_those_it_is_kept_with(path: Path, tmp_path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    again = copy.deepcopy(kept)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(again, timeout=120, kernel_name="python3", resources=resources).execute()
    code = [i for i, cell in enumerate(kept.cells) if cell["cell_type"] == "code"]
    assert any(shown(kept.cells[i]) for i in code)
    for i in code:
        assert shown(kept.cells[i]) == shown(again.cells[i]), kept.cells[i]["source"]


def test_the_notebook_is_that_of_the_article(article: Any) -> None:
    source = article.SOURCE.read_text("utf-8")
    found = article.pieces(source)
    assert "".join(map(str, found)) == source
    made = nbformat.writes(article.notebook(found)) + "\n"
    assert made == article.NOTEBOOK.read_text("utf-8"), AGAIN


def test_the_page_is_that_of_the_article(article: Any) -> None:
    made = article.html(article.SOURCE.read_text("utf-8"))
    assert made == article.PAGE.read_text("utf-8"), AGAIN


def test_every_chapter_has_its_five_things(article: Any) -> None:
    """Plain words, the source, the same by hand and equal, a figure, a question."""
    source = article.SOURCE.read_text("utf-8")
    _, *chapters = re.split(r"^## ", source, flags=re.MULTILINE)
    first, *chapters, last = chapters
    assert first.startswith("How to read")
    assert last.startswith("Where to go on")
    assert len(chapters) == 11
    for chapter in chapters:
        name = chapter.splitlines()[0]
        for thing in ("source(", "assert ", "](figures/", "<details>\n<summary>"):
            assert thing in chapter, f"{name}: no {thing}"


def test_every_figure_of_the_article_is_there_and_used(article: Any) -> None:
    used = set(re.findall(r"\]\(figures/([\w-]+\.svg)\)", article.SOURCE.read_text("utf-8")))
    kept = {path.name for path in (article.DOCS / "figures").glob("article-*.svg")}
    assert kept <= used
    assert all((article.DOCS / "figures" / name).is_file() for name in used)


def test_the_page_needs_nothing_from_outside(article: Any) -> None:
    page = article.PAGE.read_text("utf-8")
    assert len(page.encode()) < 400_000
    assert not re.findall(r"<script|<link|<iframe|@import|url\(", page)
    pictures = re.findall(r'src="(.{26})', page)
    assert set(pictures) == {"data:image/svg+xml;base64,"}
    anchors = set(re.findall(r' id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors


def test_the_source_is_cut_into_what_is_run_and_what_is_told(article: Any) -> None:
    source = (
        "# T\n\nWords.\n\n```text\nno output\n```\n\n"
        "```python\nprint(1)\n```\n```output\n1\n```\n\n"
        "```python\nx\n```\n```text\nvaries\n```\n\n![a < b](figures/pipeline.svg)\n\n## A b!\n\n"
        "[go](#a-b) [there](model.md#x) [far](https://x.org)\n"
    )
    found = article.pieces(source)
    assert [piece.kind for piece in found] == [
        "prose", "python", "output", "prose", "python", "text", "prose",
    ]  # fmt: skip
    assert "".join(map(str, found)) == source
    cells = article.cells(found)
    assert [cell.cell_type[0] for cell in cells] == list("mcmcm")
    assert cells[1].outputs[0].text == "1\n"
    assert "[there](../docs/model.md#x) [far](https://x.org)" in cells[-1].source
    assert "![a < b](../docs/figures/pipeline.svg)" in cells[-1].source
    page = article.html(source)
    assert '<section id="a-b"><h2>A b!</h2>' in page
    assert '<figure class="picture" tabindex="0"><img src="data:image/svg+xml;base64,' in page
    assert '<span class="mi">1</span>' in page
