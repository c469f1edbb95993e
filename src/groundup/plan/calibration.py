"""What a machine was measured to do; `groundup.train.calibrate` measures, this file keeps it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.base.errors import GroundupError
from groundup.base.files import cache_folder, read_json, write_json
from groundup.base.hardware import cpu_model_line


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The speed of one device of one machine, as measured."""

    device: str
    """cpu, cuda or mps."""
    matmul_gflops: dict[int, float]
    """Rate of fp32 matrix products, in 10^9 operations a second, by number of CPU threads."""
    bandwidth: float
    """Bytes a second that all threads together read and write in memory."""
    machine: str = field(default_factory=lambda: machine_fingerprint())
    """Which machine it was; a calibration of another one is worth nothing."""
    measured_at: str = ""
    """When, as an ISO 8601 time."""

    def save(self, path: Path | None = None) -> Path:
        """Write it as JSON, to the user's cache by default, and return where."""
        path = path or calibration_path()
        write_json(path, dataclasses.asdict(self))
        return path


def calibration_path() -> Path:
    """Return where this user's calibration is kept."""
    return cache_folder() / "calibration.json"


def load_calibration(path: Path | None = None) -> Calibration | None:
    """Return what was measured on this machine, or None: absent, damaged, or of another one."""
    try:
        table: dict[str, Any] = read_json(path or calibration_path())
        rates = {int(threads): float(rate) for threads, rate in table["matmul_gflops"].items()}
        found = Calibration(**{**table, "matmul_gflops": rates})
    except (GroundupError, AttributeError, KeyError, TypeError, ValueError):
        return None
    positive = found.bandwidth > 0 and all(rate > 0 for rate in rates.values())
    return found if positive and found.machine == machine_fingerprint() else None


def machine_fingerprint() -> str:
    """Return a short name for this machine's processor: model, cores and system, hashed."""
    facts = f"{cpu_model_line()}|{os.cpu_count()}|{platform.system()}|{platform.machine()}"
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
