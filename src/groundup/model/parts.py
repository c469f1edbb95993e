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
- What is not learnt is no parameter: a plain attribute, or a buffer with `persistent=False`; no
  checkpoint has it. Models are also made on the device "meta", where no value can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

Table = Mapping[str, Callable[..., nn.Module]]


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
