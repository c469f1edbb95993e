"""The files of a folder that hold weights: safetensors or pickles, in one file or in parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from groundup.base.errors import RunError, shown
from groundup.base.file_names import WEIGHTS
from groundup.runs.tensor_file import Stored, read_safetensors
from groundup.weights.json_object import read_object
from groundup.weights.pickles import check_trusted, read_pickle

LARGEST_INDEX = 16 << 20
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.\w+)")
Tensors = dict[str, Stored]


class _Kind(NamedTuple):
    """A way to keep weights: in one file, or in parts named after it, with an index of them."""

    whole: str
    read: Callable[[Path], Tensors]

    @property
    def listing(self) -> str:
        return f"{self.whole}.index.json"

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.whole).suffix


SAFETENSORS = _Kind(WEIGHTS, read_safetensors)
PICKLES = _Kind("pytorch_model.bin", read_pickle)


def read_weights(folder: Path, trust_pickle: bool) -> tuple[Tensors, Path]:
    """Return every tensor of a folder, and the file to name when something is wrong with them.

    Safetensors come first; pickles are read where `trust_pickle` says so.
    """
    for kind in (SAFETENSORS, PICKLES):
        if not (first := _first(kind, folder)):
            continue
        if kind is PICKLES:
            check_trusted(first, trust_pickle)
        if first.name == kind.whole:
            return kind.read(first), first
        if first.name == kind.listing:
            return _indexed(kind, first), first
        return _complete(kind, first), folder
    raise RunError(
        f"{folder}: no weights that can be read; expected {WEIGHTS}, or {SAFETENSORS.listing} and "
        f"its parts, or {PICKLES.whole}"
    )


def _first(kind: _Kind, folder: Path) -> Path | None:
    """Return the file that says where the weights are: all of them, the index, or any part."""
    found = [folder / kind.whole, folder / kind.listing, *_parts(kind, folder).values()]
    return next((file for file in found if file.is_file()), None)


def _parts(kind: _Kind, folder: Path) -> dict[tuple[int, int], Path]:
    """Return parts named as tools name them, by their place and the number that there are."""
    stem = PurePosixPath(kind.whole).stem
    matches = ((file, _PART.fullmatch(file.name)) for file in sorted(folder.glob(f"{stem}-*")))
    return {
        (int(match[2]), int(match[3])): file
        for file, match in matches
        if match and (match[1], match[4]) == (stem, kind.suffix)
    }


def _complete(kind: _Kind, first: Path) -> Tensors:
    """Return the tensors of parts that have no index, if none of the parts is missing."""
    parts = _parts(kind, first.parent)
    (_, total), *_ = parts
    for place in range(1, total + 1):
        if (place, total) not in parts:
            name = first.name.replace(_PART.fullmatch(first.name)[2], f"{place:05d}", 1)  # type: ignore[index]
            raise RunError(
                f"{first.parent / name} is missing, one of {total:,} parts; fetch it too"
            )
    if other := next((file for (_, of), file in parts.items() if of != total), None):
        raise RunError(f"{other} is a part of another set than {first.name}; remove the one")
    found: Tensors = {}
    for file in parts.values():
        more = kind.read(file)
        if twice := found.keys() & more.keys():
            raise RunError(f"{file}: {shown(min(twice))} is in another part, too; fetch it again")
        found |= more
    return found


def _indexed(kind: _Kind, index: Path) -> Tensors:
    """Return the tensors that an index finds in files beside it, and nowhere else."""
    places = read_object(index, LARGEST_INDEX).get("weight_map")
    if not isinstance(places, Mapping) or not places:
        raise RunError(f"{index}: weight_map: expected an object of file names")
    for name, place in places.items():
        if not isinstance(place, str) or not _is_beside(place, kind.suffix):
            raise RunError(
                f"{index}: weight_map: {shown(name)} is said to be in {shown(place)}; expected a "
                f"{kind.suffix} file in the same folder"
            )
    shards = {place: kind.read(index.parent / place) for place in set(places.values())}
    return {name: shards[at][name] for name, at in places.items() if name in shards[at]}


def _is_beside(place: str, suffix: str) -> bool:
    """Whether `place` is the plain name of a file of weights, on any system."""
    plain = {PurePosixPath(place).name, PureWindowsPath(place).name} == {place}
    return plain and place.endswith(suffix) and place.isprintable()
