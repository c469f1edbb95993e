"""Other people's names for our tensors: one table for a family, read in both directions.

A table maps modules; a "#" in both stands for the number of a layer or an expert. Several of our
modules with one name of theirs are joined there, in our order, along their outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from groundup.base.errors import RunError, shown
from groundup.config import GPTConfig, Parameter, parameter_shapes
from groundup.runs.tensor_check import check_tensors
from groundup.runs.tensor_file import Stored

HEAD, EMBEDDING = "lm_head.weight", "token_embedding.weight"
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True, kw_only=True)
class Names:
    """How a family calls our modules, and in which layout it keeps them.

    `prefix` stands before every name but the output head's, and is missing in some files;
    `transposed` are those of their modules that keep a matrix as (in, out); `ignored` is a pattern
    of tensors that are no parameters.
    """

    modules: Mapping[str, str]
    prefix: str = ""
    transposed: frozenset[str] = frozenset()
    ignored: str = r"(?!)"

    def parameters(self, found: Mapping[str, Stored], source: Path) -> dict[str, Stored]:
        """Return the parameters among `found`, with the prefix that a file may leave out."""
        kept: dict[str, Stored] = {}
        for name, stored in found.items():
            if re.search(self.ignored, name):
                continue
            has_prefix = name == HEAD or name.startswith(self.prefix)
            full = name if has_prefix else self.prefix + name
            if full in kept:
                raise RunError(f"{source} holds {shown(full)} twice, with and without its prefix")
            kept[full] = stored
        return kept


class Link(NamedTuple):
    """A tensor of their file and the parameters of ours that it holds."""

    theirs: str
    ours: list[Parameter]
    is_transposed: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of their tensor."""
        outputs = sum(parameter.shape[0] for parameter in self.ours)
        shape = (outputs, *self.ours[0].shape[1:])
        return shape[::-1] if self.is_transposed else shape


def links(config: GPTConfig, names: Names) -> list[Link]:
    """Return every tensor that a family's file of this shape holds, with our parameters in it."""
    found: dict[str, Link] = {}
    for parameter in parameter_shapes(config):
        module, _, kind = parameter.name.rpartition(".")
        pattern = names.modules[_NUMBER.sub("#", module)]
        theirs = pattern.replace("#", "{}").format(*_NUMBER.findall(module)) + f".{kind}"
        link = found.setdefault(theirs, Link(theirs, [], pattern in names.transposed))
        link.ours.append(parameter)
    return list(found.values())


def to_ours(
    found: Mapping[str, Stored], config: GPTConfig, names: Names, source: Path
) -> dict[str, Stored]:
    """Return the tensors of `source` under our names and in our layout; nothing is read yet.

    All that is missing, unexpected or misshapen is one `RunError`, in the file's own names.
    """
    if config.n_layers * max(1, config.n_experts) > len(found):  # before so many are named
        raise RunError(
            f"{source} holds {len(found)} tensors, too few for {config.n_layers:,} layers of "
            f"{max(1, config.n_experts):,} networks, as its config has it; fetch the whole model"
        )
    theirs = names.parameters(found, source)
    expected = links(config, names)
    if config.tie_embeddings:
        embedding = next(link for link in expected if link.ours[0].name == EMBEDDING)
        _check_tied(theirs.pop(HEAD, None), theirs.get(embedding.theirs), source)
    check_tensors(theirs, ((link.theirs, link.shape) for link in expected), source)
    return {
        parameter.name: part
        for link in expected
        for parameter, part in zip(link.ours, _parts(link, theirs[link.theirs]), strict=True)
    }


def to_theirs(tensors: Mapping[str, Stored], config: GPTConfig, names: Names) -> dict[str, Stored]:
    """Return our tensors under the family's names and in its layout; nothing is read yet."""
    return {link.theirs: _whole(link, tensors) for link in links(config, names)}


def _check_tied(head: Stored | None, embedding: Stored | None, source: Path) -> None:
    """Refuse an output head that stands beside the embedding it is tied to, and is another."""
    if head is None or embedding is None:
        return
    if head.shape != embedding.shape:
        problem = f"is {head.shape}, and the token embedding {embedding.shape}"
    elif not torch.equal(head.read().to(embedding.dtype), embedding.read()):
        problem = "has other numbers than the token embedding"
    else:
        return
    raise RunError(
        f"{source}: the config ties the two, but {HEAD} {problem}; write "
        '"tie_word_embeddings": false in config.json, or fetch the model again'
    )


def _parts(link: Link, stored: Stored) -> list[Stored]:
    """Return each of our parameters out of their tensor."""
    parts, end = [], 0
    for parameter in link.ours:
        begin, end = end, end + parameter.shape[0]
        read = stored.read
        if len(link.ours) > 1 or link.is_transposed:
            read = partial(_part, stored, link.is_transposed, slice(begin, end))
        parts.append(Stored(parameter.shape, stored.dtype, read))
    return parts


def _part(stored: Stored, is_transposed: bool, rows: slice) -> Tensor:
    whole = stored.read()
    return (whole.t() if is_transposed else whole)[rows].contiguous()


def _whole(link: Link, tensors: Mapping[str, Stored]) -> Stored:
    """Return their tensor out of our parameters."""
    parts = [tensors[parameter.name] for parameter in link.ours]
    if len(parts) == 1 and not link.is_transposed:
        return parts[0]
    dtype = reduce(torch.promote_types, (part.dtype for part in parts))
    return Stored(link.shape, dtype, partial(_join, parts, dtype, link.is_transposed))


def _join(parts: list[Stored], dtype: torch.dtype, is_transposed: bool) -> Tensor:
    whole = torch.cat([part.read().to(dtype) for part in parts])
    return whole.t() if is_transposed else whole
