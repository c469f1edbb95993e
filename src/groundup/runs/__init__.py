"""The run folder: its layout, run.toml, lock and metrics; `checkpoint` and `load` for its tensors.

Only tensors and `load` need torch.
"""

from groundup.runs.folder import RunFolder, flatten, run_lock
from groundup.runs.manifest import Manifest
from groundup.runs.metrics import append_line, cut_back, flush, read_lines, size

__all__ = [
    "Manifest",
    "RunFolder",
    "append_line",
    "cut_back",
    "flatten",
    "flush",
    "read_lines",
    "run_lock",
    "size",
]
