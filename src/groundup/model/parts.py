"""The tables of parts that a model is built from: a field of its config names an entry of each.

    table          field         an entry is called with         and makes a module called with
    norms          norm          (width, eps, bias)              (x)
    positions      position      (config)                        (x, positions)
    feed_forwards  feed_forward  (config)                        (x)
    attentions     attention     (config, layer, attend, norms)  (x, cache, rotate)
    blocks         norm_order    (config, layer, attend, parts)  (x, cache, rotate)

A module returns what it makes of `x` (B, T, D), in its shape. A position's has a second method,
`rotations(positions, device)`, which returns a function for each layer that turns its queries and
keys. A block builds what it is made of from the tables that it is given, and hands `cache` and
`rotate` on to its attention, which asks the cache for the mask.

**A part of one's own** is a class or a function with such a call, under a name of its own:

    parts = replace(PARTS, norms={**PARTS.norms, "none": NoNorm})
    GPT(GPTConfig(norm="none"), parts=parts)

- Its parameters start as `groundup.model.init` says or, where it has a method `init_weights()`, as
  that leaves them: it is called last.
- Tables of counts call its parameters by the place where they are, such as "attention", or by the
  name that its block has for it.
- What is not learnt is no parameter: a plain attribute, or a buffer with `persistent=False`, which
  its part makes with the same numbers each time; no checkpoint has it. Models are also made on the
  device "meta", where no value can be looked at.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import nn

Table = Mapping[str, Callable[..., nn.Module]]

GIVEN = {
    "norm": "width, eps, bias",
    "position": "config",
    "feed_forward": "config",
    "attention": "config, layer, attend, norms",
    "norm_order": "config, layer, attend, parts",
}
"""What an entry is called with, by the field that names it."""
METHODS = {
    "norm": {"forward": "x"},
    "position": {"forward": "x, positions", "rotations": "positions, device"},
    "feed_forward": {"forward": "x"},
    "attention": {"forward": "x, cache, rotate"},
    "norm_order": {"forward": "x, cache, rotate"},
}
"""The methods of its module that are called, and with what."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The parts that a model can be made of, by name; `dataclasses.replace` adds to a table."""

    norms: Table
    positions: Table
    feed_forwards: Table
    attentions: Table
    blocks: Table

    def __deepcopy__(self, memo: object) -> Parts:
        return self


def make_part(field: str, table: Table, name: str, *given: Any) -> nn.Module:
    """Return the module that an entry of a table makes.

    Raises `TypeError` for what is none, as it would neither learn nor be kept, and for one without
    the `METHODS`.
    """
    module = table[name](*given)
    kind: Any = type(module)
    what = f"{field} = {name!r} makes a {kind.__name__}"
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"{what}: expected a torch.nn.Module, whose parameters learn and are kept; derive the "
            "class from it"
        )
    for method, taken in METHODS[field].items():
        if not _has(kind, method, taken):
            raise TypeError(f"{what}: expected that it has a method {method}(self, {taken})")
    return module


def takes(function: Callable[..., Any], names: str) -> bool:
    """Tell whether `function` can be called with as many values as there are `names`."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # one of C tells nothing
        return True
    try:
        signature.bind(*names.split(","))
    except TypeError:
        return False
    return True


@cache
def _has(kind: Any, name: str, names: str) -> bool:
    method = getattr(kind, name, nn.Module.forward)  # which is no method but tells that
    return method is not nn.Module.forward and takes(method, f"self, {names}")
