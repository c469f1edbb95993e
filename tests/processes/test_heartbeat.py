"""What a process leaves behind when it has done its part."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from groundup.processes import heartbeat
from groundup.processes.heartbeat import Heartbeat


class SlowStore:
    """Keeps what is said; whoever reads waits, and is counted meanwhile."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}
        self.readers = 0

    def set(self, key: str, value: str) -> None:
        self.said[key] = value

    def get(self, key: str) -> bytes:
        return self.said[key].encode()

    def multi_get(self, keys: list[str]) -> list[bytes]:
        return [self.get(key) for key in keys]

    def check(self, keys: list[str]) -> bool:
        self.readers += 1
        time.sleep(0.2)
        self.readers -= 1
        return all(key in self.said for key in keys)

    def clone(self) -> SlowStore:
        return self

    def set_timeout(self, timeout: timedelta) -> None:
        pass


@pytest.mark.parametrize("fails", [False, True])
def test_no_thread_is_with_the_store_once_the_work_is_over(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is there while Python ends aborts the process, after all was done."""
    monkeypatch.setattr(heartbeat, "BEAT", 0.01)
    store = SlowStore()
    try:
        with Heartbeat(store, rank=0, size=1, patience=60).guarded():
            while not store.readers:
                time.sleep(0.001)
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert store.readers == 0
    assert "heartbeat" not in {thread.name for thread in threading.enumerate()}
