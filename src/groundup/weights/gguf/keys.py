"""The metadata of a GGUF file that describe its model, by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from groundup.base.errors import RunError

IGNORED_KEYS = ("vocab_size", "tensor_data_layout")
"""The shapes of the tensors say the same, and count."""


class Metadata:
    """The metadata of one architecture, read key by key; it remembers which were read."""

    def __init__(self, path: Path, architecture: str, metadata: Mapping[str, Any]) -> None:
        self.path, self.values = path, metadata
        self.start = f"{architecture}."
        self.asked: set[str] = set()

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number from 0 on; absent without a default, it is a RunError."""
        value = self._value(key, default)
        if type(value) is not int or value < 0:
            raise self.error(key, f"{shown(value)}, expected one whole number")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """Return a number, likewise."""
        value = self._value(key, default)
        if type(value) not in (int, float):
            raise self.error(key, f"{shown(value)}, expected a number")
        return float(value)

    def scale(self, key: str) -> float:
        """Return a factor, or 0 where there is none."""
        value = self.real(key, 0.0)
        if value != 0 and not 1e-6 <= value <= 1e6:
            raise self.error(key, f"{shown(value)}, expected a factor from 1e-6 to 1e6")
        return value

    def switch(self, key: str) -> bool:
        """Return true or false; absent is true."""
        value = self._value(key, True)
        if not isinstance(value, bool):
            raise self.error(key, f"{shown(value)}, expected true or false")
        return value

    def anything(self, key: str, default: Any) -> Any:
        """Return a value of any type."""
        return self._value(key, default)

    def unread(self) -> list[str]:
        """Return the keys of this architecture that nothing has read."""
        known = self.asked | {self.start + key for key in IGNORED_KEYS}
        return sorted({key for key in self.values if key.startswith(self.start)} - known)

    def _value(self, key: str, default: Any) -> Any:
        self.asked.add(self.start + key)
        value = self.values.get(self.start + key, default)
        if value is None:
            raise self.error(key, "is absent from the metadata")
        return value

    def error(self, key: str, why: str) -> RunError:
        """Return an error that names the file and the key."""
        return RunError(f"{self.path}: {self.start}{key}: {why}; convert the model again")


def shown(value: Any) -> str:
    """Return a value of the metadata in short."""
    return "a list" if isinstance(value, list | np.ndarray) else repr(value)[:60]
