"""On which text forgetting is measured: what was named, else what the base validated on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundup import GPT, ByteTokenizer, GPTConfig, save
from groundup.base.errors import DataError, UsageError
from groundup.data import PreparedData, TokenSplit, prepare
from groundup.finetune.assistant.general_text import asked_text, text_of_base
from groundup.runs import RunFolder
from groundup.runs.manifest import JobTable
from groundup.runs.own import sealed

CONFIG = GPTConfig(vocab_size=257, context_length=16, emb_dim=8, n_heads=1, n_layers=1)


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    (tmp_path / "text.txt").write_text("Some words of a text. " * 200)
    return prepare([str(tmp_path / "text.txt")], "bytes", 257, tmp_path / "data")


@pytest.fixture
def base(tmp_path: Path, data: PreparedData) -> Path:
    """A run as if it were trained on the text."""
    folder = RunFolder(save(GPT(CONFIG), ByteTokenizer(), tmp_path / "base"))
    manifest = folder.read()
    folder.write(sealed(replace(manifest, data=replace(manifest.data, folder=str(data.folder)))))
    return folder.path


def test_the_part_that_validates_is_read(data: PreparedData, base: Path) -> None:
    for text in (asked_text("words", data), text_of_base(base)):
        assert text.tokens is not None
        assert text.missing == ""
        assert text.tokens.n_tokens == data.tokens("val").n_tokens > 100
    assert asked_text("words", data).name == "the validation part of words"
    assert text_of_base(base).name == f"the validation text of {base}"


def test_a_text_of_next_to_nothing_is_refused(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = TokenSplit.from_array(np.array([1]), 1)
    monkeypatch.setattr(PreparedData, "tokens", lambda self, split, verify: one)
    with pytest.raises(UsageError, match="general_text = words: 1 tokens in the part that"):
        asked_text("words", data)


def test_why_there_is_no_text_is_said(tmp_path: Path, base: Path, data: PreparedData) -> None:
    plain = save(GPT(CONFIG), ByteTokenizer(), tmp_path / "plain")
    none = "keeps no text of its own; --general-text names one"
    assert text_of_base(plain).missing == f"{plain} {none}"
    folder = RunFolder(base)
    manifest = folder.read()
    folder.write(sealed(replace(manifest, job=JobTable(kind="assistant"))))
    assert text_of_base(base).missing == f"{base} {none}"
    folder.write(manifest)
    (shard,) = data.folder.glob("val-*.bin")
    shard.write_bytes(bytes(len(shard.read_bytes())))
    assert f"{shard}: damaged (its SHA-256" in text_of_base(base).missing
    with pytest.raises(DataError, match="SHA-256"):
        asked_text("words", data)
    shutil.rmtree(data.folder)
    assert text_of_base(base).missing.startswith(f"the validation text of {base} cannot be read: ")
    shutil.rmtree(base)
    assert text_of_base(base).missing == f"{base} is gone; --general-text names a text"
