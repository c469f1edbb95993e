"""The next token of every row in a single launch: a decoding step, recorded as a CUDA graph.

A step of a small model is some hundred kernels of a few microseconds each, and launching one from
Python takes longer than running it. A graph is launched at once; but it repeats exactly what was
recorded, so where the next tokens go must stand in the GPU's memory, not in the kernels'
arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.config import GPTConfig, foreign_parts
from groundup.generate.cache import KVCache
from groundup.generate.ring import held, seen_from
from groundup.model import GPT, Mask

WARM_UPS = 2
"""Steps before recording: libraries take their workspaces at the first, off the record."""


def can_record(config: GPTConfig, device: torch.device) -> bool:
    """Tell whether a step can be a graph: on CUDA, unless what runs (perhaps) depends on data."""
    plain = not config.n_experts and not config.attention_sinks and not foreign_parts(config)
    return device.type == "cuda" and plain


class StaticCache:
    """A `KVCache` as one more token for each row sees it, with the rows' lengths on the device.

    Attention runs over whole buffers; what a row has not written yet is masked.
    """

    def __init__(self, cache: KVCache, lengths: Tensor) -> None:
        self.buffers = cache.buffers
        self.lengths = lengths  # (B,)
        self._n_columns = cache.n_columns
        self._masks: dict[int | None, Mask] = {}

    def positions(self, n_new: int) -> Tensor:
        """Return each row's next position (B, 1)."""
        return self.lengths[:, None]

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Let each new token see itself and those before it, as far as the window reaches."""
        if window not in self._masks:
            own, n_columns = self.lengths[:, None], self._n_columns(window)
            seen = held(own, n_columns, n_columns)[:, None, None]  # (B, 1, 1, columns)
            self._masks[window] = Mask(seen_from(own[:, None, None], seen, window), False)
        return self._masks[window]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new keys and values (B, K, 1, H) and return the whole buffers."""
        keys, values = self.buffers[layer]
        place = (self.lengths % keys.shape[2])[:, None, None, None].expand_as(key)
        return keys.scatter_(2, place, key), values.scatter_(2, place, value)

    def advance(self, n_new: int) -> None:
        """Leave the lengths to the caller; whatever was worked out from them is out of date."""
        self._masks.clear()


class GraphedStep:
    """Reads one token of each row of a `KVCache` that already holds what stands before it."""

    def __init__(self, model: GPT, cache: KVCache) -> None:
        self.model = model
        self._inputs = torch.zeros(2, len(cache.lengths), dtype=torch.long, device=cache.device)
        self._view = StaticCache(cache, self._inputs[1])
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, tokens: Sequence[int], lengths: Sequence[int]) -> Float[Tensor, "B V"]:
        """Return the scores of what follows `tokens`; the next call overwrites them."""
        self._inputs.copy_(torch.tensor([tokens, lengths]))
        if self._graph is None:
            self._graph = self._record()
        self._graph.replay()
        return self._scores

    def _record(self) -> torch.cuda.CUDAGraph:
        # On a side stream, as capturing asks for; repeating a step writes the same again.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._scores = self._run()
        return graph

    def _run(self) -> Float[Tensor, "B V"]:
        hidden = self.model.hidden_states(self._inputs[0][:, None], self._view)
        scores: Tensor = self.model.lm_head(hidden[:, 0])
        return scores
