"""What a launcher tells a process, and what is said of a launcher that tells it wrongly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore  # type: ignore[attr-defined]

from groundup.base.errors import UsageError
from groundup.processes.distributed import _own_part
from groundup.processes.launch import Place, place

TOLD = {
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "first-host",
    "MASTER_PORT": "29500",
}


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TOLD.items():
        monkeypatch.setenv(name, value)


def test_a_process_knows_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place() == Place(rank=3, size=4, local_rank=1, host="first-host", port=29500)
    monkeypatch.delenv("LOCAL_RANK")
    assert place() == Place(rank=3, size=4, local_rank=0, host="first-host", port=29500)
    for alone in ("1", ""):
        monkeypatch.setenv("WORLD_SIZE", alone)
        assert place() is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WORLD_SIZE", "two", "WORLD_SIZE=two: expected a number from 1 to 65536"),
        ("WORLD_SIZE", "0", "WORLD_SIZE=0: expected"),
        ("WORLD_SIZE", "9" * 5000, "WORLD_SIZE=999"),
        ("RANK", "", "RANK is not set: expected a number from 0 to 3"),
        ("RANK", "4", "RANK=4: expected a number from 0 to 3"),
        ("RANK", "-1", "RANK=-1: expected"),
        ("MASTER_ADDR", "", "MASTER_ADDR is not set: expected the host of rank 0"),
        ("MASTER_PORT", "", "MASTER_PORT is not set"),
        ("MASTER_PORT", "65536", "MASTER_PORT=65536: expected a number from 1 to 65535"),
        ("MASTER_PORT", "\u0661", "MASTER_PORT=\u0661: expected"),
    ],
)
def test_a_wrong_place_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        place()
    assert str(caught.value).startswith(said)
    assert len(str(caught.value)) < 300


def test_processes_that_are_started_again_do_not_hear_what_was_said_before() -> None:
    store, places = HashStore(), [Place(rank, 3, rank, "first-host", 29500) for rank in range(3)]
    with ThreadPoolExecutor() as pool:
        for _ in range(3):  # a launcher may keep its store
            parts = list(pool.map(lambda place: _own_part(store, place), places))
            assert not any(part.check(["said"]) for part in parts)
            parts[0].set("said", "something")
            assert all(part.check(["said"]) for part in parts)
