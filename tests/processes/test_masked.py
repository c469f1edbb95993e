"""Several real processes train on rows of which not all targets count, and train only a part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from groundup.processes.alone import ALONE
from groundup.processes.exact import Exact
from tests.processes.masked import masked_trainer, partly_frozen, write
from tests.processes.starting import Training

SILENT = {0, 2}


def in_one(folder: Path, **settings: Any) -> dict[str, Any]:
    """Train in this process; return what was told."""
    world = Exact() if settings.get("exact") == "on" else ALONE
    trainer, steps = masked_trainer(SILENT, world, **settings)
    with trainer.choices.in_force():
        write(folder, trainer, steps)
    return written(folder)


def in_two(folder: Path, **settings: Any) -> dict[str, Any]:
    """Train in two processes; return what the first one was told."""
    words = [str(folder), json.dumps({"silent": [*SILENT], **settings})]
    Training(folder, words, 2, module="tests.processes.masked").finish()
    return written(folder)


def written(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return found | {"last": load_file(folder / "last.safetensors")}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shard": "on"},
        {"exact": "on"},
        pytest.param({"optimizer": "adamw", "shard": "on"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "adamw", "accumulation": 4}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_step_without_a_counted_target_changes_nothing_in_two_processes(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    one, two = in_one(tmp_path, **settings), in_two(tmp_path, **settings)
    for found in (one, two):
        assert found["weights"][1] == found["weights"][2] != found["weights"][3]
        assert found["memory"][1] == found["memory"][2] != found["memory"][3]
        assert [r.get("uncounted_steps") for r in found["records"][:4]] == [1, None, 1, None]
        assert not [r for r in found["records"] if "reason" in r]
        assert found["progress"]["step"] == 6
    assert two["progress"]["tokens"] == one["progress"]["tokens"]
    if "exact" in settings:
        assert two["weights"] == one["weights"]
        assert two["memory"] == one["memory"]
    for name, parameter in partly_frozen().named_parameters():
        torch.testing.assert_close(two["last"][name], one["last"][name], atol=1e-5, rtol=1e-4)
        assert torch.equal(two["last"][name], parameter) == (not parameter.requires_grad)


def test_data_in_which_nothing_counts_ends_all_with_one_line(tmp_path: Path) -> None:
    words = [str(tmp_path), json.dumps({"silent": list(range(99)), "steps": 50})]
    training = Training(tmp_path, words, 2, module="tests.processes.masked")
    assert training.wait() == [1, 1]
    for said in training.err:
        assert "no target of the training data counts, in 40 rows" in said
        assert "RankLost" not in said
