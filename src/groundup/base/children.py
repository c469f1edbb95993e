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
from typing import Any


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


def safe_environment() -> dict[str, str]:
    """Return this process's environment, in which no Python imports from the working folder."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    folders = [folder for folder in environment.pop("PYTHONPATH", "").split(os.pathsep) if folder]
    if folders:
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    return environment
