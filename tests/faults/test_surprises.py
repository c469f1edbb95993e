"""No command surprises: mutated words, damaged folders, a system that refuses; an answer is a line.

`SCALE=0.1 make test-long` tries 1,000 of 10,000, those that come next. To repeat one:
`python -m tests.faults.surprises FOLDER NUMBER 1`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.apart import told_by
from tests.faults.campaign import Campaign

FEW, GROUP = 12, 100
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="forks, and looks at processes as Linux tells it"
)


def hunted(folder: Path, first: int, count: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return what surprised, and how all of them ended."""
    *found, counts = told_by("surprises", folder, str(first), str(count))
    return found, counts


def test_a_few_commands_surprise_nobody(tmp_path: Path) -> None:
    found, counts = hunted(tmp_path, 10_000_000, FEW)
    assert not found
    assert sum(counts["ends"].values()) == FEW
    assert len(counts["ends"]) > 1


@pytest.mark.slow
def test_many_commands_surprise_nobody(tmp_path: Path) -> None:
    campaign, surprising = Campaign("mutated commands"), []
    for group in campaign.seeds(GROUP):
        found, _ = hunted(tmp_path, group * GROUP, GROUP)
        wrong = [f"{one['number']}: {one['wrong']}" for one in found]
        campaign.record(group, GROUP, ", ".join(wrong) or "ok")
        surprising += wrong
    assert not surprising
