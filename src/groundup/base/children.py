"""Child processes in Python that import nothing from the folder in which they are started.

`python -m NAME` looks for NAME, and for all that it imports, in the working folder first: a file
`pip.py` or `logging.py` of a cloned repository would run. `-P` leaves that folder out.
PYTHONSAFEPATH does so for what the child starts itself. An empty entry of PYTHONPATH means that
folder, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

INSTALLED = ("numpy", "pip", "rich", "safetensors", "tokenizers", "tomli_w", "torch", "typer")
"""What is imported that is not Python's own."""


def run_python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run this Python with `arguments` and return how it ended and what it printed, as text.

    `options` are those of `subprocess.run`.
    """
    command = [sys.executable, "-P", *arguments]
    usual: dict[str, Any] = {"text": True, "capture_output": True, "check": False}
    usual["env"] = safe_environment()
    return subprocess.run(command, **usual | options)


def start_python(*arguments: str, **options: Any) -> subprocess.Popen[Any]:
    """Start this Python with `arguments`, in a session of its own: Ctrl-C is for its parent alone.

    `options` are those of `subprocess.Popen`.
    """
    command = [sys.executable, "-P", *arguments]
    options = {"env": safe_environment()} | options
    return subprocess.Popen(command, start_new_session=True, **options)


def taken_from_here() -> Path | None:
    """Return a module in the working folder that this Python takes for an installed one, if any.

    It does so where it was started with `-m` and without `-P` or PYTHONSAFEPATH.
    """
    here = Path.cwd()
    if sys.flags.safe_path or not sys.path or Path(sys.path[0]) != here:
        return None
    for name in sorted({*sys.stdlib_module_names, *INSTALLED}):
        for path in (here / f"{name}.py", here / name / "__init__.py"):
            if path.is_file():
                return path.relative_to(here)
    return None


def safe_environment() -> dict[str, str]:
    """Return this process's environment, in which no Python imports from the working folder."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    folders = [folder for folder in environment.pop("PYTHONPATH", "").split(os.pathsep) if folder]
    if folders:
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    return environment
