"""Arms are told from one another by what they resolve to, each looked at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from groundup.base.errors import UsageError
from groundup.lab import Arm
from groundup.lab.running import checks
from groundup.lab.running.identity import setting_table
from tests.lab.toy import studies

MANY = [Arm(name=f"width {i}", model={"ffn_dim": i}) for i in range(1, 61)]


def test_many_arms_are_compared_without_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    start, looked = studies(1)[0], []

    def counting(setting: Any) -> Any:
        looked.append(setting.cell)
        return setting_table(setting)

    monkeypatch.setattr(checks, "setting_table", counting)
    checks.check_studies([replace(start, arms=MANY)], 30, "text")
    assert len(looked) == len(set(looked)) == len(MANY) * len(start.xs)
    same = Arm(name="the same", model={"ffn_dim": 30})
    with pytest.raises(UsageError, match="the arms width 30 and the same do not differ"):
        checks.check_studies([replace(start, arms=[*MANY, same])], 30, "text")
