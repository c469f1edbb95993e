"""What never ends, or unpacks without end, ends a verb soon, in little memory, with one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.apart import told_by

SECONDS = 5.0
"""Of processor time, and so on an idle core."""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="holes and limits are Linux's")


def problem(found: dict[str, Any]) -> str | None:
    """Return what is wrong with how a verb ended."""
    # What `chat` says before anything is asked.
    lines = [line for line in found["said"].splitlines() if not line.startswith("Sampling: ")]
    if found["seconds"] > SECONDS:
        return f"took {found['seconds']} s"
    if found["exit"] == 0 and found["may_pass"]:
        return None
    if found["exit"] not in (1, 2):
        return f"exit {found['exit']}"
    if len(lines) != 1 or not lines[0].startswith("groundup: ") or "unexpected" in lines[0]:
        return "not one line"
    return "out of memory" if "out of memory" in lines[0] else None


def check_all(folder: Path, how_many: str, least: int) -> None:
    found = told_by("bombs", folder, how_many, GROUNDUP_CACHE=str(folder / "cache"))
    wrong = [f"{one['label']}: {reason}: {one['said'][-300:]!r}"
             for one in found if (reason := problem(one))]  # fmt: skip
    assert not wrong, "\n".join(wrong)
    assert len(found) >= least


def test_nothing_endless_is_waited_for(tmp_path: Path) -> None:
    check_all(tmp_path, "few", 12)


@pytest.mark.slow
def test_no_verb_waits_for_anything_endless(tmp_path: Path) -> None:
    check_all(tmp_path, "all", 170)


def test_the_judgement_can_fail() -> None:
    good = {"exit": 1, "said": "groundup: x: y\n", "seconds": 0.1, "may_pass": False}
    assert problem(good) is None
    bad = ({"exit": 0}, {"exit": -9}, {"seconds": 6.0}, {"said": "a\nb\n"}, {"said": ""},
           {"said": "groundup: out of memory; a smaller batch\n"})  # fmt: skip
    assert all(problem(good | change) for change in bad)
