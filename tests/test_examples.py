"""The scripts in examples/ run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
TINY = {"context_length": 16, "emb_dim": 16, "n_heads": 2, "n_layers": 1}


def test_parts_of_ones_own_are_trained_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(EXAMPLES / "parts.py"))
    script["SIZE"].update(TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["parts.py", "--steps", "20"])
    script["main"]()
    said = capsys.readouterr().out
    for name in ("usual", "no-norm", "squash", "no-shortcuts"):
        assert f"\n{name}: " in said
        assert (tmp_path / "runs" / "parts" / name / "report.html").is_file()
    assert said.count("\nWritten     def ") == 4
    assert said.count(" parameters, loss ") == 4
    page = tmp_path / "runs" / "parts" / "comparison.html"
    assert said.splitlines()[-1] == str(page.relative_to(tmp_path))
    assert "no_shortcuts" in page.read_text(encoding="utf-8")
