"""A process that writes holds the weights once, its cache, and what PyTorch takes by itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from groundup.base.files import write_text
from groundup.config import GPTConfig, as_table
from groundup.model import GPT
from groundup.runs import RunFolder
from groundup.runs.checkpoint import save_checkpoint
from groundup.runs.manifest import DataTable, Manifest
from groundup.tokenizer import CharTokenizer

TELL = (
    "import atexit, pathlib; "
    "atexit.register(lambda: print(pathlib.Path('/proc/self/status').read_text())); "
)
N_TOKENS = 60


def peak_bytes(statement: str, *words: str) -> int:
    """The most memory that a process had, by its own account, which no parent is part of."""
    done = subprocess.run(
        [sys.executable, "-c", TELL + statement, *words], capture_output=True, text=True, check=True
    )
    found = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert found
    return int(found[1]) << 10


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_writing_holds_the_weights_once(tmp_path: Path) -> None:
    """Of 40 million parameters, so that a second copy of them would not pass."""
    tokenizer = CharTokenizer("".join(map(chr, range(32, 127))))
    config = GPTConfig(
        vocab_size=tokenizer.vocab_size, context_length=512, emb_dim=640, n_heads=10, n_layers=8
    )
    tensors = dict(GPT(config).named_parameters())
    folder = RunFolder(tmp_path / "run")
    write_text(folder.tokenizer, tokenizer.to_json())
    data = DataTable(tokenizer_fingerprint=tokenizer.fingerprint)
    folder.write(Manifest(model=as_table(config), data=data))
    save_checkpoint(folder.checkpoints, 0, tensors, {"none": torch.zeros(1)}, {"step": 0})

    weights = 4 * sum(tensor.numel() for tensor in tensors.values())
    cache = 4 * 2 * config.n_layers * config.emb_dim * (N_TOKENS + 1)
    bare = peak_bytes("import torch")
    words = ["generate", str(folder.path), "A", "--max-tokens", str(N_TOKENS), "--seed", "1"]
    writing = peak_bytes("from groundup.cli import main; main()", *words)
    assert writing < 1.15 * (bare + weights + cache)
