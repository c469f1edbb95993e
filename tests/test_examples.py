"""The scripts in examples/ run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_parts_of_ones_own_are_trained_and_compared(tmp_path: Path) -> None:
    words = [sys.executable, str(EXAMPLES / "parts.py"), "--steps", "20"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("usual", "no-norm", "squash", "no-shortcuts"):
        assert f"\n{name}: " in done.stdout
        assert (tmp_path / "runs" / "parts" / name / "report.html").is_file()
    page = tmp_path / "runs" / "parts" / "comparison.html"
    assert done.stdout.splitlines()[-1] == str(page.relative_to(tmp_path))
    assert "no_shortcuts" in page.read_text(encoding="utf-8")
