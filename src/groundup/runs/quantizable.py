"""Which runs may be stored in fewer bits, and where; known without torch."""

from __future__ import annotations

from groundup.base.errors import UsageError
from groundup.base.files import new_path
from groundup.runs.base import check_plain
from groundup.runs.classifier import asks_it
from groundup.runs.folder import RunFolder
from groundup.runs.foreign import check_own_parts
from groundup.runs.manifest import Manifest

BITS = (8, 4)


def check_quantizable(folder: RunFolder, out: RunFolder, bits: int) -> Manifest:
    """Return what run.toml says of a run that may be quantised into the new folder `out`."""
    if bits not in BITS:
        raise UsageError(f"bits = {bits}: expected 8 or 4")
    new_path(out.path)
    manifest = folder.read()
    instead = "only models that write text are quantised; " + asks_it(folder)
    check_plain(folder, manifest, instead)
    if made := manifest.quantization:
        raise UsageError(
            f"{folder.path} holds {made.bits} bits already; quantize the run "
            f"that it was made from, {made.run}"
        )
    check_own_parts(folder.model_config(manifest), folder.path)
    return manifest
