"""A training that ends in the same bits whatever the number of processes: `exact = on`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groundup.config import TrainConfig
from groundup.processes.alone import Alone, Pass, UnequalShares


class Exact(Alone):
    """Sums that do not depend on who computes what.

    A step's samples are cut into the config's `exact_shards` equal shards, a power of two, each a
    pass of its own. Their gradients are the leaves of a fixed binary tree, in which neighbours are
    added first; a process has a whole subtree, and then adds its partner's at each level. Floating
    point sums are commutative, though not associative: partners get the same bits.
    """

    def passes(self, config: TrainConfig) -> list[Pass]:
        """Return this process's passes of a step."""
        shards, total = config.exact_shards, config.sequences_per_step
        if shards % self.size:
            raise UnequalShares(
                f"{self.size} processes cannot share exact_shards = {shards} equally; start "
                f"{' or '.join(str(2**i) for i in range(shards.bit_length()))}"
            )
        own, n = shards // self.size, total // shards
        self._sums: list[tuple[int, Tensor]] = []
        return [((self.rank * own + i) * n, n) for i in range(own)]

    def after_pass(self, parameters: list[nn.Parameter], last: bool) -> None:
        """Add a pass's gradients to those of its neighbour, as soon as both are there."""
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        vector = torch.cat([gradient.reshape(-1) for gradient in gradients])
        for parameter in parameters:
            parameter.grad = None
        level = 0
        while self._sums and self._sums[-1][0] == level:
            vector += self._sums.pop()[1]
            level += 1
        self._sums.append((level, vector))
        if not last:
            return
        vector = self._sums.pop()[1]
        for i in range(self.size.bit_length() - 1):
            vector += self.exchange(vector, self.rank ^ 1 << i)
        pieces = torch.split(vector, [p.numel() for p in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)

    def total(self, rows: list[Tensor]) -> Tensor:
        """Return the sum of the rows (n,) of all passes of all processes."""
        return self.collect(torch.stack(rows)).sum(dim=0)

    def exchange(self, vector: Tensor, partner: int) -> Tensor:
        """Return the vector of `partner`, who gets this one."""
        raise AssertionError("a single process has no partner")

    def collect(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of their ranks."""
        return rows
