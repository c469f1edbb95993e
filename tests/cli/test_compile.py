"""`--compile`: one text is written by compiled blocks, and what would not be says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from torch import Tensor

from groundup.generate import compiled
from tests.cli.conftest import Groundup
from tests.generate.test_compiled import as_exported


def test_it_writes_the_same_text(
    groundup: Groundup, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("generate", trained, "The", "--max-tokens", 9, "--temperature", 0)
    plain, read = groundup(*words, "--no-lookup"), list[Sequence[int]]()
    monkeypatch.setattr(compiled, "loop_of", as_exported)
    step = compiled.CompiledStep.__call__

    def counted(self: compiled.CompiledStep, tokens: Sequence[int]) -> Tensor:
        read.append(tokens)
        return step(self, tokens)

    monkeypatch.setattr(compiled.CompiledStep, "__call__", counted)
    done = groundup(*words, "--compile")
    assert (done.status, done.out) == (0, plain.out)
    n_read = len(read)
    assert n_read
    assert groundup("chat", trained, "--compile", "--max-tokens", 3, stdin="The\n").status == 0
    assert len(read) > n_read


def test_several_prompts_are_not_compiled_for(groundup: Groundup, trained: Path) -> None:
    done = groundup("generate", trained, "The", "And", "--compile")
    assert done.status == 2
    assert "2 prompts are written at once, uncompiled; give one" in done.error
