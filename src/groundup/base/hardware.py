"""What this machine is, and what this process may take of it: CPUs and memory."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def cpu_model_line() -> str:
    """Return the line in which Linux names the processor, "model name : …"; else Python's name."""
    with contextlib.suppress(OSError):
        for line in (PROC / "cpuinfo").read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line
    return platform.processor() or platform.machine()


def is_amd_cpu() -> bool:
    """Return whether Linux says that the processor is AMD's."""
    with contextlib.suppress(OSError):
        return "AuthenticAMD" in (PROC / "cpuinfo").read_text("utf-8", errors="replace")
    return False


def usable_cores() -> int:
    """Return the CPUs this process may use, by its affinity and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit
        quota, period = (CGROUPS / "cpu.max").read_text().split()
        usable = min(usable, max(1, int(quota) // int(period)))
    return usable


def available_memory() -> int | None:
    """Return the bytes this process may still take, or None where the system does not say.

    On Linux what the kernel calls available, or what the container's limit (cgroup v1 or v2)
    leaves if that is less; on other Unix systems the size of the memory, as an upper bound.
    """
    limits = [*_container_room()]
    if (available := _kernel_available()) is not None:
        limits.append(available)
    return min(limits, default=None)


def total_memory() -> int | None:
    """Return the bytes of this machine's memory, or None where the system does not say."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _kernel_available() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return total_memory()


def _container_room() -> list[int]:
    """Return what each limited control group above this process has left."""
    room = []
    for folder in _groups():
        v2 = ("memory.max", "memory.current", "inactive_file")
        v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        for limit, usage, reclaimable in (v2, v1):
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit
                left = int((folder / limit).read_text()) - int((folder / usage).read_text())
                room.append(max(0, left + _statistic(folder, reclaimable)))
    return room


def _statistic(folder: Path, name: str) -> int:
    """Return a line of memory.stat: the file cache counts as used, but is given back on demand."""
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            key, value = line.split()
            if key == name:
                return int(value)
    return 0


def _groups() -> list[Path]:
    """Return the folders of this process's memory groups, from its own up to the root."""
    folders = [CGROUPS, CGROUPS / "memory"]  # in a container its own group is the root
    with contextlib.suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            names = controllers.split(",")
            root = CGROUPS / "memory" if "memory" in names else CGROUPS
            if "memory" in names or not controllers:
                group = root / path.lstrip("/")
                folders += [group, *group.parents]
    return [f for f in dict.fromkeys(folders) if f.is_relative_to(CGROUPS)]
