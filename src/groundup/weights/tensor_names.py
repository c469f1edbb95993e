"""Other people's names for our tensors: one table for a family, read in both directions.

A table maps modules; a "#" in both stands for the number of a layer or an expert. Several of our
modules with one name of theirs are joined there, in our order, along their outputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from groundup.base.errors import RunError, shown
from groundup.config import GPTConfig, Parameter, parameter_shapes
from groundup.runs.tensor_check import check_tensors
from groundup.runs.tensor_file import Stored
from groundup.weights.bare_norms import NORM, with_norms, without_norms

HEAD, EMBEDDING = "lm_head.weight", "token_embedding.weight"
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


class Layout(NamedTuple):
    """How a tensor of theirs holds parameters of ours.

    `shape` is that of theirs, given those of ours; `split` takes theirs apart, and `join` is the
    way back. Both are given the config.
    """

    shape: Callable[[list[tuple[int, ...]]], tuple[int, ...]]
    split: Callable[[Tensor, list[tuple[int, ...]], GPTConfig], list[Tensor]]
    join: Callable[[list[Tensor], GPTConfig], Tensor]


def _stacked(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def _rows(whole: Tensor, shapes: list[tuple[int, ...]], config: GPTConfig) -> list[Tensor]:
    return list(torch.split(whole, [shape[0] for shape in shapes]))


def _by_head(parts: list[Tensor], config: GPTConfig) -> list[Tensor]:
    return [part.reshape(-1, config.head_dim, *part.shape[1:]) for part in parts]


def _paired(x: Tensor, config: GPTConfig, groups: int) -> Tensor:
    """Exchange the groups that a head's turning part consists of and the places in them."""
    width = config.rope_dim
    heads = x.reshape(-1, config.head_dim, *x.shape[1:])
    turning = heads[:, :width].reshape(-1, groups, width // groups, *x.shape[1:])
    turning = turning.transpose(1, 2).flatten(1, 2)
    return torch.cat((turning, heads[:, width:]), dim=1).flatten(0, 1)


def _swapped(parts: list[Tensor], config: GPTConfig) -> Tensor:
    """Exchange the halves of each head."""
    return torch.cat(_by_head(parts, config)).roll(config.head_dim // 2, 1).flatten(0, 1)


STACKED = Layout(_stacked, _rows, lambda parts, config: torch.cat(parts))
"""One below the other, along their outputs."""
TRANSPOSED = Layout(
    lambda shapes: _stacked(shapes)[::-1],
    lambda whole, shapes, config: _rows(whole.t(), shapes, config),
    lambda parts, config: torch.cat(parts).t(),
)
"""A matrix as (in, out)."""
HEAD_BY_HEAD = Layout(
    _stacked,
    lambda whole, shapes, config: [
        part.flatten(0, 1)
        for part in whole.reshape(-1, 3, config.head_dim, *whole.shape[1:]).unbind(1)
    ],
    lambda parts, config: torch.stack(_by_head(parts, config), dim=1).flatten(0, 2),
)
"""Query, key and value of the first head, then those of the second (GPT-NeoX)."""
NEIGHBOURS = Layout(
    _stacked,
    lambda whole, shapes, config: [_paired(whole, config, config.rope_dim // 2)],
    lambda parts, config: _paired(parts[0], config, 2),
)
"""Queries or keys whose rotations turn neighbours, not the halves of a head."""
HALVES_SWAPPED = Layout(
    _stacked,
    lambda whole, shapes, config: [_swapped([whole], config)],
    lambda parts, config: _swapped(parts, config),
)
"""Queries or keys that turn the other way round: the halves of a head change places (nanochat)."""
BEHIND_TWO = Layout(
    lambda shapes: (shapes[0][0] + 2, *shapes[0][1:]),
    lambda whole, shapes, config: [whole[2:]],
    lambda parts, config: torch.cat((parts[0].new_zeros(2, parts[0].shape[1]), parts[0])),
)
"""Positions behind two rows that nothing looks up (OPT)."""


def _experts(whole: Tensor, step: int) -> list[Tensor]:
    """Return the matrices (out, in), or biases (out,), of each expert, `step` of them in turns."""
    return [
        expert[..., first::step].t() if expert.dim() > 1 else expert[first::step]
        for expert in whole
        for first in range(step)
    ]


def _in_one(step: int) -> Layout:
    """Return the layout of all experts' matrices (in, out) in one, `step` of them in turns."""

    def shape(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
        outputs, *inputs = shapes[0]
        return (len(shapes) // step, *inputs, step * outputs)

    def join(parts: list[Tensor], config: GPTConfig) -> Tensor:
        groups = (parts[i : i + step] for i in range(0, len(parts), step))
        return torch.stack([torch.stack(g, dim=1).flatten(0, 1).movedim(0, -1) for g in groups])

    return Layout(shape, lambda whole, shapes, config: _experts(whole, step), join)


EXPERTS, EXPERTS_IN_TURNS = _in_one(1), _in_one(2)
"""All experts in one tensor; and gate and up so, one output of each after the other (gpt-oss)."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """How a family calls our modules, and in which layout it keeps them.

    `prefix` stands before every name but the output head's, and is missing in some files;
    `layouts` are those of their modules that are not `STACKED`; `kinds` are other endings than
    .weight and .bias, by the end of a name; `ignored` is a pattern of what is no parameter.
    `bare_norms` are those without weights, of which no file has any.
    """

    modules: Mapping[str, str]
    prefix: str = ""
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    ignored: str = r"(?!)"
    bare_norms: bool = False

    @property
    def head(self) -> str:
        """Their name of the output head's weight."""
        return f"{self.modules['lm_head']}.weight"

    def parameters(self, found: Mapping[str, Stored], source: Path) -> dict[str, Stored]:
        """Return the parameters among `found`, with the prefix that a file may leave out.

        Of two parts, such as OPT's "model.decoder.", it may have the second alone.
        """
        first, _, second = self.prefix.partition(".")
        kept: dict[str, Stored] = {}
        for name, stored in found.items():
            if re.search(self.ignored, name):
                continue
            is_head = name.rpartition(".")[0] == self.modules["lm_head"]
            has_prefix = is_head or name.startswith(self.prefix)
            left_out = f"{first}." if second and name.startswith(second) else self.prefix
            full = name if has_prefix else left_out + name
            if full in kept:
                raise RunError(f"{source} holds {shown(full)} twice, with and without its prefix")
            kept[full] = stored
        return kept


class Link(NamedTuple):
    """A tensor of their file and the parameters of ours that it holds."""

    theirs: str
    ours: list[Parameter]
    layout: Layout

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of our parameters."""
        return [parameter.shape for parameter in self.ours]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of their tensor."""
        return self.layout.shape(self.shapes)


def _pattern(module: str, names: Names) -> str:
    return names.modules[_NUMBER.sub("#", module)]


def called(name: str, names: Names) -> str:
    """Return a family's name of the tensor that holds our parameter `name`."""
    module, _, kind = name.rpartition(".")
    theirs = _pattern(module, names).replace("#", "{}").format(*_NUMBER.findall(module))
    last = theirs.rpartition(".")[2]
    return theirs + names.kinds.get(f"{last}.{kind}", f".{kind}")


def links(config: GPTConfig, names: Names) -> list[Link]:
    """Return every tensor that a family's file of this shape holds, with our parameters in it."""
    found: dict[str, Link] = {}
    for parameter in parameter_shapes(config):
        if names.bare_norms and parameter.part == NORM:
            continue
        theirs = called(parameter.name, names)
        layout = names.layouts.get(_pattern(parameter.name.rpartition(".")[0], names), STACKED)
        link = found.setdefault(theirs, Link(theirs, [], layout))
        link.ours.append(parameter)
    return list(found.values())


def to_ours(
    found: Mapping[str, Stored], config: GPTConfig, names: Names, source: Path
) -> dict[str, Stored]:
    """Return the tensors of `source` under our names and in our layout; nothing is read yet.

    All that is missing, unexpected or misshapen is one `RunError`, in the file's own names.
    """
    apart = any(theirs.count("#") > 1 for theirs in names.modules.values())
    networks = max(1, config.n_experts) if apart else 1
    if config.n_layers * networks > len(found):  # before so many are named
        raise RunError(
            f"{source} holds {len(found)} tensors, too few for {config.n_layers:,} layers of "
            f"{networks:,} networks, as its config has it; fetch the whole model"
        )
    theirs = names.parameters(found, source)
    expected = links(config, names)
    if config.tie_embeddings:
        embedding = next(link for link in expected if link.ours[0].name == EMBEDDING)
        _check_tied(theirs.pop(names.head, None), theirs.get(embedding.theirs), source)
    check_tensors(theirs, ((link.theirs, link.shape) for link in expected), source)
    ours = {
        parameter.name: part
        for link in expected
        for parameter, part in zip(
            link.ours, _parts(link, theirs[link.theirs], config), strict=True
        )
    }
    return with_norms(ours, config) if names.bare_norms else ours


def to_theirs(tensors: Mapping[str, Stored], config: GPTConfig, names: Names) -> dict[str, Stored]:
    """Return our tensors under the family's names and in its layout; nothing large is read yet."""
    if names.bare_norms:
        tensors = without_norms(tensors, config)
    return {link.theirs: _whole(link, tensors, config) for link in links(config, names)}


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


def _parts(link: Link, stored: Stored, config: GPTConfig) -> list[Stored]:
    """Return each of our parameters out of their tensor."""
    if link.layout is STACKED and len(link.ours) == 1:
        return [Stored(link.shape, stored.dtype, stored.read)]

    def part(place: int) -> Tensor:
        return link.layout.split(stored.read(), link.shapes, config)[place].contiguous()

    return [
        Stored(shape, stored.dtype, partial(part, place)) for place, shape in enumerate(link.shapes)
    ]


def _whole(link: Link, tensors: Mapping[str, Stored], config: GPTConfig) -> Stored:
    """Return their tensor out of our parameters."""
    parts = [tensors[parameter.name] for parameter in link.ours]
    if link.layout is STACKED and len(parts) == 1:
        return parts[0]
    dtype = reduce(torch.promote_types, (part.dtype for part in parts))

    def joined() -> Tensor:
        return link.layout.join([part.read().to(dtype) for part in parts], config)

    return Stored(link.shape, dtype, joined)
