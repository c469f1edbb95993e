"""A state dict, however it is kept: as safetensors, or in a pickle with other things beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from groundup.runs.tensor_file import Stored, read_safetensors
from groundup.weights.json_object import read_object
from groundup.weights.pickles import names_in, stored, unpickled

WRAPPERS = ("model_state_dict", "state_dict", "model")
"""Under which of them a checkpoint keeps its state dict, if under any."""
SETTINGS = ("model_args", "model_config", "config", "cfg")
"""Under which of them it keeps the shape of its model."""
PREFIXES = ("_orig_mod.", "module.")
"""What torch.compile and DistributedDataParallel put before every name."""
LARGEST_CONFIG = 1 << 20


class StateDict(NamedTuple):
    """The tensors of a checkpoint by name, none of them read, and what stands beside them.

    `settings` are those of the model that the checkpoint itself has, if any.
    """

    file: Path
    tensors: dict[str, Stored]
    settings: Mapping[str, Any]

    def beside(self, name: str) -> dict[str, Any]:
        """Return the JSON object in a file of this name in the same folder, {} without one."""
        path = self.file.with_name(name)
        return read_object(path, LARGEST_CONFIG) if path.is_file() else {}


def names_alone(file: Path) -> StateDict:
    """Return what the names in a pickle that is not trusted tell: no shapes, and no values."""
    names = names_in(file)
    unknown = Stored((), torch.float32, partial(torch.empty, 0))
    return StateDict(file, _named(dict.fromkeys(names, unknown)), dict.fromkeys(names, ""))


def read_state_dict(file: Path, is_pickle: bool) -> StateDict:
    """Return the state dict in `file`; what holds none is a one-line error."""
    if not is_pickle:
        return StateDict(file, _named(read_safetensors(file)), {})
    whole = unpickled(file)
    inner = _mapping(whole, WRAPPERS)
    settings = {} if inner is None else _mapping(whole, SETTINGS) or {}
    inner = whole if inner is None else inner
    found = {str(name): stored(str(name), value, file) for name, value in inner.items()}
    return StateDict(file, _named(found), settings)


def _mapping(whole: Mapping[Any, Any], keys: Sequence[str]) -> Mapping[Any, Any] | None:
    """Return the first dictionary that a checkpoint has under one of `keys`."""
    return next((whole[key] for key in keys if isinstance(whole.get(key), Mapping)), None)


def _named(found: dict[str, Stored]) -> dict[str, Stored]:
    """Return tensors under the names that their modules gave them."""
    for prefix in PREFIXES:
        found = {name.removeprefix(prefix): one for name, one in found.items()}
    return found
