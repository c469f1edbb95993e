"""How a token learns where it stands: without this, attention sees a bag of words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.config import GPTConfig

Rotate = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Rotation:
    """Turns each pair (i, i + H/2) of a query or key by its token's angles.

    The dot product of two turned vectors depends on their distance alone (Su et al., 2021).
    """

    cos: Float[Tensor, "... T half"]
    sin: Float[Tensor, "... T half"]

    def __call__(self, x: Float[Tensor, "B N T H"]) -> Float[Tensor, "B N T H"]:
        """Return `x` turned."""
        first, second = x.chunk(2, dim=-1)
        turned = (first * self.cos - second * self.sin, second * self.cos + first * self.sin)
        return torch.cat(turned, dim=-1).type_as(x)


def unrotated(x: Tensor) -> Tensor:
    """Return queries or keys as they are, where positions were added to the embeddings."""
    return x


class LearnedPositions(nn.Module):
    """Add one learned vector for each position from 0 to context_length - 1, as GPT-2 does."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.context_length, config.emb_dim))
        self.n_layers = config.n_layers

    def forward(self, x: Float[Tensor, "B T D"], positions: slice | Tensor) -> Tensor:
        """Return `x` (B, T, D) with the vector of each token's position added."""
        return x + self.weight[positions]

    def rotations(self, positions: slice | Tensor, device: torch.device) -> list[Rotate]:
        """Return for each layer that it turns nothing."""
        return [unrotated] * self.n_layers


class RotaryPositions(nn.Module):
    """Add nothing; turn queries and keys in every layer (RoPE: Su et al., 2021).

    Pair i of H/2 turns by base^(-2i/H) radians a position. Layers with a window may have a base
    of their own (Gemma 3), which is never scaled.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        far = scaled(config, frequencies(config.head_dim, config.rope_base))
        near = frequencies(config.head_dim, config.rope_local_base or config.rope_base)
        near = near if config.rope_local_base else far
        self.layers = [far if config.window_of(i) is None else near for i in range(config.n_layers)]

    def forward(self, x: Float[Tensor, "B T D"], positions: slice | Tensor) -> Tensor:
        """Return `x` (B, T, D) as it is."""
        return x

    def rotations(self, positions: slice | Tensor, device: torch.device) -> list[Rotate]:
        """Return each layer's `Rotation` at `positions`, worked out once for equal layers."""
        if isinstance(positions, slice):
            positions = torch.arange(positions.start, positions.stop, device=device)
        else:
            positions = positions[:, None]  # (B, 1, T)
        made = {turns: self._rotation(turns, positions) for turns in set(self.layers)}
        return [made[turns] for turns in self.layers]

    def _rotation(self, turns: tuple[float, ...], positions: Tensor) -> Rotation:
        angles = positions[..., None].float() * _on(positions.device, turns)  # (..., T, H/2)
        return Rotation(angles.cos(), angles.sin())


POSITIONS: dict[str, type[LearnedPositions] | type[RotaryPositions]] = {
    "learned": LearnedPositions,
    "rope": RotaryPositions,
}


@lru_cache
def _on(device: torch.device, turns: tuple[float, ...]) -> Float[Tensor, " half"]:
    # Made once: a copy to a GPU in every forward pass would wait for it, and no CUDA graph has it.
    with torch.inference_mode(False):
        return torch.tensor(turns, device=device)


def frequencies(head_dim: int, base: float) -> tuple[float, ...]:
    """Return the radians that each of the head_dim / 2 pairs turns by from token to token.

    In fp32, as every other implementation: far from the start, a last bit more would show.
    """
    exponents = torch.arange(0, head_dim, 2, device="cpu", dtype=torch.float32) / head_dim
    return tuple((1.0 / base**exponents).tolist())


def scaled(config: GPTConfig, turns: tuple[float, ...]) -> tuple[float, ...]:
    """Return frequencies slowed for a longer context than they were first trained for."""
    return SCALINGS[config.rope_scaling](config, turns)


def _unscaled(config: GPTConfig, turns: tuple[float, ...]) -> tuple[float, ...]:
    return turns


def _linear(config: GPTConfig, turns: tuple[float, ...]) -> tuple[float, ...]:
    """Slow all of them alike (Chen et al., 2023): positions are interpolated."""
    return tuple((torch.tensor(turns, device="cpu") / config.rope_factor).tolist())


def _llama3(config: GPTConfig, turns: tuple[float, ...]) -> tuple[float, ...]:
    """Slow those that turn seldom, keep those that turn often, blend in between (Llama 3.1).

    What counts is the number of full turns within the context before it was extended.
    """
    low, high = config.rope_low_freq_factor, config.rope_high_freq_factor
    each = torch.tensor(turns, device="cpu")
    n_turns = config.rope_original_context / (2 * math.pi / each)
    kept = ((n_turns - low) / (high - low)).clamp(0, 1)
    return tuple(((1 - kept) * each / config.rope_factor + kept * each).tolist())


SCALINGS = {"none": _unscaled, "linear": _linear, "llama3": _llama3}
