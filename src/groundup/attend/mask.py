"""Who may look at whom."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor


class Mask(NamedTuple):
    """Who may look at whom: a table of permissions, or the plain causal triangle.

    `window` narrows the triangle to so many tokens, the looking one included. The first row is
    that of token `first`: above 0 in a part of the rows.
    """

    allowed: Bool[Tensor, "... T S"] | None
    is_causal: bool
    window: int | None = None
    first: int = 0

    def table(self, n_new: int, n_seen: int, device: torch.device) -> Bool[Tensor, "... T S"]:
        """Write the permissions out."""
        if self.allowed is not None:
            return self.allowed
        table = torch.ones(n_new, n_seen, dtype=torch.bool, device=device)
        table = table.tril(self.first) if self.is_causal else table
        return table if self.window is None else table.triu(self.first + 1 - self.window)

    def rows(self, first: int, last: int) -> Mask:
        """Return the permissions of the tokens from `first` up to `last` alone."""
        allowed = None if self.allowed is None else self.allowed[..., first:last, :]
        return self._replace(allowed=allowed, first=self.first + first)


CAUSAL = Mask(None, True)
