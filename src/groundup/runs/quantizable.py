"""Which runs may be stored in fewer bits, and where; known without torch."""

from __future__ import annotations

from typing import Any

from groundup.base.errors import UsageError
from groundup.base.files import new_path
from groundup.runs.folder import RunFolder
from groundup.runs.foreign import check_own_parts

BITS = (8, 4)


def quantizable_tables(folder: RunFolder, out: RunFolder, bits: int) -> dict[str, Any]:
    """Return run.toml's tables of a run that may be quantised into the new folder `out`."""
    if bits not in BITS:
        raise UsageError(f"bits = {bits}: expected 8 or 4")
    new_path(out.path)
    tables = folder.read()
    if "quantization" in tables:
        raise UsageError(
            f"{folder.path} holds {tables['quantization']['bits']} bits already; quantize the run "
            f"that it was made from, {tables['quantization']['run']}"
        )
    check_own_parts(folder.model_config(tables), folder.path)
    return tables
