"""A model in several GGUF files, NAME-00001-of-00003.gguf and so on.

The first has the metadata; each has some of the tensors.
"""

from __future__ import annotations

import re
from pathlib import Path

from groundup.base.errors import RunError
from groundup.weights.gguf.header import MOST_TENSORS, WHOLE, Header, read_header
from groundup.weights.gguf.keys import shown

MOST_PARTS = 256
NUMBER, COUNT, N_TENSORS = "split.no", "split.count", "split.tensors.count"
_NAME = re.compile(r"(.+)-\d{5}-of-\d{5}\.gguf", re.DOTALL)


def read_whole_header(file: Path) -> Header:
    """Return the header of a model, with the tensors of all of its files.

    `file` is any of them. One that is missing, or that belongs to another model, is a RunError.
    """
    header = read_header(file)
    count = _number(header, COUNT, 1)
    if count == 1:
        return header
    parts = []
    for n, path in enumerate(_paths(file, count)):
        part = header if path == file else read_header(path)
        _check(part, n, count)
        parts.append(part)
        if sum(len(each.tensors) for each in parts) > MOST_TENSORS:
            raise RunError(f"{path}: more tensors with those before it than a model has")
    tensors = {name: entry for part in parts for name, entry in part.tensors.items()}
    found = sum(len(part.tensors) for part in parts)
    if len(tensors) < found:
        raise RunError(f"{file}: a tensor stands in two of its {count} parts; fetch them again")
    if (expected := _number(parts[0], N_TENSORS, found)) != found:
        raise RunError(
            f"{file}: its {count} parts hold {found:,} tensors, and {N_TENSORS} is {expected:,}; "
            "fetch them again"
        )
    return Header(file, parts[0].metadata, tensors)


def _number(header: Header, key: str, otherwise: int) -> int:
    """Return a whole number of the metadata."""
    value = header.metadata.get(key, otherwise)
    if type(value) is not int:
        raise RunError(f"{header.path}: {key}: {shown(value)}, expected a whole number; {WHOLE}")
    return value


def _paths(file: Path, count: int) -> list[Path]:
    """Return the paths of all parts of a model, which have to be there."""
    if not 1 < count <= MOST_PARTS:
        raise RunError(f"{file}: {COUNT}: {count:,}, expected 1 to {MOST_PARTS:,}; {WHOLE}")
    name = _NAME.fullmatch(file.name)
    if name is None:
        raise RunError(
            f"{file}: one of {count} parts of a model, which are found by their names; call them "
            f"NAME-00001-of-{count:05}.gguf and so on, as they were"
        )
    paths = [file.with_name(f"{name[1]}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)]
    if missing := [path.name for path in paths if not path.is_file()]:
        named = ", ".join([*missing[:3], *(["…"] if len(missing) > 3 else [])])
        raise RunError(
            f"{file}: {len(missing)} of the {count} parts of its model are missing: {named}; fetch "
            "them into the same folder"
        )
    return paths


def _check(part: Header, n: int, count: int) -> None:
    for key, expected in ((NUMBER, n), (COUNT, count)):
        if (told := _number(part, key, -1)) != expected:
            raise RunError(
                f"{part.path}: {key} is {told:,}, not {expected:,}: it is no part of the model "
                "beside it; fetch it again"
            )
