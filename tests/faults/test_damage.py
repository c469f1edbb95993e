"""Bytes that change on the disk: noticed before they are used, named, and passed over."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from groundup.base.errors import DataError
from groundup.data.tokens import open_tokens
from groundup.runs import RunFolder
from groundup.runs.checkpoint import list_checkpoints, newest_intact
from tests.faults.campaign import Campaign
from tests.processes.starting import train

FAST = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(tmp_path_factory.mktemp("run"), steps=12, eval_every=3, keep=3)


def damage(path: Path, choose: random.Random) -> None:
    """Change one byte, or cut the file, at a random place."""
    content = bytearray(path.read_bytes())
    place = choose.randrange(len(content))
    if choose.random() < 0.5:
        content[place] ^= choose.randint(1, 255)
    else:
        del content[place:]
    path.write_bytes(content)


def check_checkpoint(run: RunFolder, seed: int) -> None:
    """Damage a file of one of the checkpoints; the newest of the others is found."""
    choose = random.Random(seed)
    checkpoints = list_checkpoints(run.checkpoints)
    chosen = choose.choice(checkpoints)
    victim = choose.choice(sorted(chosen.path.iterdir()))
    genuine = victim.read_bytes()
    damage(victim, choose)
    try:
        others = [one for one in checkpoints if one != chosen]
        found, notices = newest_intact(run.checkpoints)
        assert found == others[-1] if chosen == checkpoints[-1] else found == checkpoints[-1]
        told = chosen.damage()
        assert told, f"{victim} was damaged with seed {seed}"
        assert str(victim) in told
        assert notices == ([told] if chosen == checkpoints[-1] else [])
    finally:
        victim.write_bytes(genuine)


def check_shard(folder: Path, seed: int) -> None:
    """Damage a token shard; it is refused by name before a token of it is used."""
    choose = random.Random(seed)
    victim = choose.choice(sorted(folder.glob("*.bin")))
    genuine = victim.read_bytes()
    damage(victim, choose)
    try:
        with pytest.raises(DataError) as caught:
            open_tokens(folder, victim.name.partition("-")[0], verify=True)
        assert str(victim) in str(caught.value), f"seed {seed}"
    finally:
        victim.write_bytes(genuine)


def test_damaged_checkpoints_are_named_and_passed_over(run: RunFolder) -> None:
    for seed in range(FAST):
        check_checkpoint(run, -1 - seed)


def test_damaged_shards_are_named_and_refused(run: RunFolder) -> None:
    (folder,) = (path.parent for path in run.path.parents[1].glob("data/*/manifest.json"))
    for seed in range(FAST):
        check_shard(folder, -1 - seed)


def test_training_refuses_a_damaged_shard(run: RunFolder, tmp_path: Path) -> None:
    from tests.processes.starting import Training, command

    shutil.copytree(run.path.parents[1], tmp_path / "copy")
    (shard,) = (tmp_path / "copy").glob("data/*/train-00000.bin")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    training = Training(tmp_path / "copy", command(tmp_path / "copy", "another"))
    assert training.wait() == [1]
    assert "train-00000.bin" in training.err[0]
    assert not (tmp_path / "copy/runs/another").exists()


@pytest.mark.slow
def test_many_damages(run: RunFolder) -> None:
    (folder,) = (path.parent for path in run.path.parents[1].glob("data/*/manifest.json"))
    for name in ("damaged checkpoints", "damaged token shards"):
        campaign = Campaign(name)
        for seed in campaign.seeds():
            outcome = "not noticed"
            try:
                if name == "damaged checkpoints":
                    check_checkpoint(run, seed)
                else:
                    check_shard(folder, seed)
                outcome = "ok"
            finally:
                campaign.record(seed, 1, outcome)
