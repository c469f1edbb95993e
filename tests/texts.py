"""A text that needs no network: sentences of a small grammar, the same each time."""

from __future__ import annotations

import random
from pathlib import Path

SUBJECTS = ["The queen", "A soldier", "My brother", "The old king", "Nobody", "The fool"]
VERBS = ["remembers", "forgets", "crosses", "loves", "guards", "has lost"]
OBJECTS = ["the river", "her name", "a crown of straw", "the narrow gate", "an honest word"]


def sentences(count: int, seed: int = 0) -> str:
    choose = random.Random(seed).choice
    lines = (f"{choose(SUBJECTS)} {choose(VERBS)} {choose(OBJECTS)}.\n" for _ in range(count))
    return "".join(lines)


def text_file(folder: Path, count: int = 400, seed: int = 0) -> Path:
    path = folder / "story.txt"
    path.write_text(sentences(count, seed), encoding="utf-8")
    return path
