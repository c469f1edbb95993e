"""The results of finished documents on disk, so that an evaluation that was stopped goes on.

A JSON object a line. A document's line carries the key of the evaluation that it belongs to; the
line that explains a key comes before its documents. Evaluations of other models, texts or settings
have other keys, and stand in the same file without harm.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from groundup.base.files import file_error, make_folder
from groundup.base.regular import open_regular
from groundup.runs import read_lines


class Journal:
    """The finished documents of one evaluation, which `settings` determine; None keeps no file."""

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self.path = path
        text = json.dumps(settings, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.finished: dict[int, dict[str, Any]] = {}
        known = False
        for record in read_lines(path, links=True) if path else ():
            if record.get("key") == self.key:
                known = known or "settings" in record
                if isinstance(record.get("document"), int):
                    self.finished[record["document"]] = record
        if not known:
            self._append([{"key": self.key, "settings": settings}])

    def add(self, records: dict[int, dict[str, Any]]) -> None:
        """Keep the results of some documents, by their numbers."""
        self.finished |= records
        self._append([{"key": self.key, "document": i, **record} for i, record in records.items()])

    def _append(self, records: list[dict[str, Any]]) -> None:
        if self.path is None:
            return
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        make_folder(self.path.parent)
        try:
            with open_regular(self.path, "ab+") as file:
                # A line cut short by a crash ends here, so that only itself is lost.
                if file.tell() and (file.seek(-1, 2), file.read(1))[1] != b"\n":
                    lines = "\n" + lines
                file.write(lines.encode("utf-8", "surrogatepass"))
        except OSError as error:
            raise file_error(self.path, error) from error
