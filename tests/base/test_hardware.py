"""What a container allows counts, not what the machine has."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from groundup.base import hardware
from groundup.base.hardware import available_memory, cpu_model_line, usable_cores


def test_the_processor_is_named_by_linux_or_else_by_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "PROC", tmp_path)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert cpu_model_line() == "arm64"
    (tmp_path / "cpuinfo").write_text("processor: 0\nmodel name\t: Fast\nmodel name\t: Slow\n")
    assert cpu_model_line() == "model name\t: Fast"


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("300000 100000", 3), ("50000 100000", 1), ("9900000 100000", 8), ("x", 8)],
)
def test_usable_cores_respect_the_quota_of_the_container(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path)
    assert usable_cores() == 8
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert usable_cores() == expected


def test_without_an_affinity_all_cores_are_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path)
    assert usable_cores() == 5


def test_available_memory_respects_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = available_memory()
    assert found is None or found > 1 << 20
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    own = groups / "outer" / "own"
    own.mkdir(parents=True)
    monkeypatch.setattr(hardware, "PROC", proc)
    monkeypatch.setattr(hardware, "CGROUPS", groups)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (proc / "self" / "cgroup").write_text("0::/outer/own\n")
    assert available_memory() == 8000 << 10
    (own / "memory.max").write_text("max\n")
    (own / "memory.current").write_text("1000\n")
    assert available_memory() == 8000 << 10
    (groups / "outer" / "memory.max").write_text("5000\n")
    (groups / "outer" / "memory.current").write_text("2000\n")
    (groups / "outer" / "memory.stat").write_text("anon 1\ninactive_file 500\n")
    assert available_memory() == 3500
