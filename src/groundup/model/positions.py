"""How a token learns where it stands: without this, attention sees a bag of words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.config import GPTConfig

Rotate = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Rotation:
    """Turns each pair (i, i + R/2) of a query or key by its token's angles; R is rope_dim.

    The dot product of two turned vectors depends on their distance alone (Su et al., 2021).
    """

    cos: Float[Tensor, "... T half"]
    sin: Float[Tensor, "... T half"]

    def __call__(self, x: Float[Tensor, "B N T H"]) -> Float[Tensor, "B N T H"]:
        """Return `x` turned; what lies behind the first R numbers of a head stays as it is."""
        width = 2 * self.cos.shape[-1]
        turning, *still = (x,) if x.shape[-1] == width else x.tensor_split((width,), dim=-1)
        first, second = turning.chunk(2, dim=-1)
        turned = (first * self.cos - second * self.sin, second * self.cos + first * self.sin)
        return torch.cat((*turned, *still), dim=-1).type_as(x)


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


class Turns(NamedTuple):
    """How a layer turns: the radians of each pair from token to token, and a factor on the rest."""

    radians: tuple[float, ...]
    factor: float = 1.0


class RotaryPositions(nn.Module):
    """Add nothing; turn queries and keys in every layer (RoPE: Su et al., 2021).

    Pair i of R/2 turns by base^(-2i/R) radians a position. Layers with a window may have a base
    of their own (Gemma 3), which is never scaled; some layers may turn nothing (SmolLM3).
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        far = scaled(config)
        near = Turns(frequencies(config.rope_dim, config.rope_local_base or config.rope_base))
        near = near if config.rope_local_base else far
        self.layers = [
            (far if config.window_of(i) is None else near) if config.is_rotated(i) else None
            for i in range(config.n_layers)
        ]

    def forward(self, x: Float[Tensor, "B T D"], positions: slice | Tensor) -> Tensor:
        """Return `x` (B, T, D) as it is."""
        return x

    def rotations(self, positions: slice | Tensor, device: torch.device) -> list[Rotate]:
        """Return each layer's `Rotation` at `positions`, worked out once for equal layers."""
        if isinstance(positions, slice):
            positions = torch.arange(positions.start, positions.stop, device=device)
        else:
            positions = positions[:, None]  # (B, 1, T)
        made = {turns: _rotation(turns, positions) for turns in set(self.layers) if turns}
        return [made[turns] if turns else unrotated for turns in self.layers]


def _rotation(turns: Turns, positions: Tensor) -> Rotation:
    angles = positions[..., None].float() * _on(positions.device, turns.radians)  # (..., T, R/2)
    if turns.factor == 1:
        return Rotation(angles.cos(), angles.sin())
    return Rotation(angles.cos() * turns.factor, angles.sin() * turns.factor)


POSITIONS: dict[str, type[LearnedPositions] | type[RotaryPositions]] = {
    "learned": LearnedPositions,
    "rope": RotaryPositions,
}


@lru_cache
def _on(device: torch.device, turns: tuple[float, ...]) -> Float[Tensor, " half"]:
    # Made once: a copy to a GPU in every forward pass would wait for it, and no CUDA graph has it.
    with torch.inference_mode(False):
        return torch.tensor(turns, device=device)


def frequencies(width: int, base: float, factors: tuple[float, ...] = (1.0,)) -> tuple[float, ...]:
    """Return the radians that each of the width / 2 pairs turns by from token to token.

    They are divided by `factors`, one for all or one for each, in fp32 as every other
    implementation has them: far from the start, a last bit more would show.
    """
    exponents = torch.arange(0, width, 2, device="cpu", dtype=torch.float32) / width
    return tuple((1.0 / (torch.tensor(factors, device="cpu") * base**exponents)).tolist())


def scaled(config: GPTConfig) -> Turns:
    """Return the turns of rope_base, slowed for a longer context than they first learned."""
    if config.rope_scaling == "longrope":  # Ding et al., 2024
        slow = frequencies(config.rope_dim, config.rope_base, config.rope_factors)
        return Turns(slow, config.rope_attention_factor or 1.0)
    radians = torch.tensor(frequencies(config.rope_dim, config.rope_base), device="cpu")
    if config.rope_scaling == "none":
        return Turns(tuple(radians.tolist()))
    kept = KEPT[config.rope_scaling](config, radians)
    slowed = (1 - kept) * radians / config.rope_factor + kept * radians
    usual = 0.1 * math.log(config.rope_factor) + 1  # Peng et al., 2023, equation 22
    factor = config.rope_attention_factor or usual if config.rope_scaling == "yarn" else 1.0
    return Turns(tuple(slowed.tolist()), factor)


def _kept_linear(config: GPTConfig, radians: Tensor) -> Tensor:
    """Return 0: all are slowed alike (Chen et al., 2023), positions are interpolated."""
    return torch.zeros_like(radians)


def _kept_llama3(config: GPTConfig, radians: Tensor) -> Tensor:
    """Return 1 for pairs that turn often, 0 for those that turn seldom (Llama 3.1), (R/2,).

    What counts is the number of full turns within the context before it was extended.
    """
    low, high = config.rope_low_freq_factor, config.rope_high_freq_factor
    n_turns = config.rope_original_context / (2 * math.pi / radians)
    return ((n_turns - low) / (high - low)).clamp(0, 1)


def _kept_yarn(config: GPTConfig, radians: Tensor) -> Tensor:
    """Return the same as YaRN blends (Peng et al., 2023, section 3.2): evenly from pair to pair."""
    low, high = (
        config.rope_dim
        / 2
        * math.log(config.rope_original_context / (n_turns * 2 * math.pi))
        / math.log(config.rope_base)
        for n_turns in (config.rope_high_freq_factor, config.rope_low_freq_factor)
    )
    if config.rope_truncate:
        low, high = math.floor(low), math.ceil(high)
    first, last = max(low, 0), min(high, config.rope_dim - 1)
    pairs = torch.arange(config.rope_dim // 2, device="cpu", dtype=torch.float32)
    return 1 - ((pairs - first) / ((last - first) or 0.001)).clamp(0, 1)


KEPT = {"linear": _kept_linear, "llama3": _kept_llama3, "yarn": _kept_yarn}
