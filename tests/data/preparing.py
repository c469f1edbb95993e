"""Texts and ways to prepare them."""

import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

from groundup.data import open_tokens
from groundup.tokenizer import train_bpe

WORDS = "the quick brown fox's jumps over 13 lazy dogs, and — Ünïcode 語 they've!? slept\n\n on  "
BPE = train_bpe([WORDS * 50, "  \n\n \t. 's 'll\n" * 30], 400)


def prose(n: int, seed: int = 1) -> str:
    draw = random.Random(seed)
    words = WORDS.split(" ")
    return " ".join(draw.choice(words) for _ in range(n))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def whole(folder: Path, split: str) -> np.ndarray:
    tokens = open_tokens(folder, split)
    return tokens.read(0, tokens.n_tokens)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
