"""Names of a package that are imported on first use: torch takes seconds, and not all need it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def on_first_use(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package whose names lie in these `modules`, by name.

    A module is the package's own, such as "loop", or one below it: "groundup.optim.step".
    """

    def find(name: str) -> Any:
        if name not in modules:
            from groundup.base.errors import nearest

            hint = "" if name.startswith("_") else f"; {nearest(name, modules)}"
            raise AttributeError(f"module '{package}' has no attribute '{name}'{hint}")
        module = modules[name]
        full = module if module.startswith("groundup.") else f"{package}.{module}"
        return getattr(importlib.import_module(full), name)

    return find
