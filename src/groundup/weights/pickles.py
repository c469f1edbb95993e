"""Pickles of PyTorch, read without running them: tensors and plain values, or nothing."""

from __future__ import annotations

import pickle
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.base.errors import RunError, shown
from groundup.runs.tensor_file import Stored
from groundup.weights.early_checks import IncompleteError

BEGINNINGS = (b"PK\x03\x04", *(b"\x80" + bytes([version]) for version in range(2, 6)))
"""What the files of torch.save begin with: an archive, and a bare pickle before PyTorch 1.6."""


TRUST = "--trust-pickle"
PICKLE = (
    "a pickle, a format that can run code (only its weights are read, if you trust where it comes "
    "from)"
)
LARGEST_INDEX = 4 << 20
"""Bytes of a pickle that are looked at for its names; its numbers lie elsewhere."""


def check_trusted(file: Path, trust_pickle: bool) -> None:
    """Refuse a pickle that nobody has said to trust."""
    if not trust_pickle:
        raise IncompleteError(f"{file} is {PICKLE}", [TRUST])


def names_in(file: Path) -> set[str]:
    """Return the texts in a pickle, names of tensors among them: its parts are listed, none is
    carried out.

    None are found in one that is damaged, or older than PyTorch 1.6.
    """
    found: set[str] = set()
    try:
        with zipfile.ZipFile(file) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as opened:
                content = opened.read(LARGEST_INDEX)
        found.update(text for _, text, _ in pickletools.genops(content) if isinstance(text, str))
    except Exception:  # whatever is wrong with it is told once it is trusted
        return found
    return found


def unpickled(file: Path) -> Mapping[Any, Any]:
    """Return the dictionary in `file`, read with PyTorch's unpickler of weights only.

    It runs no code of the file. A pickle that asks for code, one that is damaged, and one that
    holds something else is a one-line `RunError`.
    """
    try:
        mapped = zipfile.is_zipfile(file)  # the older layout cannot be
        whole = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:  # whose words tell how to run it all the same
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it asks for {shown(found[1])}" if found else "it asks for more"
        raise RunError(
            f"{file}: expected a checkpoint of tensors and plain values, but {what}, which may run "
            "anything; such a file is never opened here: save the model's state_dict(), or get its "
            "weights as safetensors"
        ) from error
    except Exception as error:  # what a damaged pickle makes an unpickler do is anybody's guess
        reason = shown(str(error).partition("\n")[0] or type(error).__name__, 200)
        raise RunError(
            f"{file}: expected a checkpoint of tensors and plain values, but {reason}; save it "
            "again with a current PyTorch"
        ) from error
    if not isinstance(whole, Mapping):
        raise RunError(
            f"{file}: expected a state dict, but it holds {type(whole).__name__}; save "
            "model.state_dict()"
        )
    return whole


def read_pickle(file: Path) -> dict[str, Stored]:
    """Return the tensors of a state dict by name; what else the file holds is a `RunError`."""
    return {str(name): stored(str(name), value, file) for name, value in unpickled(file).items()}


def stored(name: str, value: object, file: Path) -> Stored:
    """Return a tensor of a pickle; one that claims more numbers than it holds is refused."""
    if not isinstance(value, Tensor):
        raise RunError(
            f"{file}: expected tensors alone, but {shown(name)} is {type(value).__name__}; save "
            "model.state_dict()"
        )
    is_plain = value.layout == torch.strided and value.device.type == "cpu"
    if not is_plain or value.is_quantized:
        raise RunError(
            f"{file}: {shown(name)} is no plain tensor; save it dense, and not quantised"
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise RunError(
            f"{file}: {shown(name)} is {tuple(value.shape)}, more numbers than the file holds of "
            "it; save it again"
        )
    return Stored(tuple(value.shape), value.dtype, value.clone)
