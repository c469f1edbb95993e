"""The next token of one text by compiled blocks, on a CPU: loops that read weights as memory gives.

A product with one vector is written out as the sums that it is. PyTorch's compiler makes loops of
them and joins norms, rotations, attention and the cache to these, so that little is left beside
reading the weights. Those in 8 bits multiply a vector in fp32, which rounds less than the operators
of `groundup.quantized.kernels`, for which vectors are quantised, too.

One block is compiled for all layers, and kept in the cache folder for every model of its shape.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.attend import Cap, uncapped
from groundup.base.errors import UsageError
from groundup.config import GPTConfig
from groundup.generate.cache import KVCache
from groundup.generate.loops import COMPILING, ELSE, Program, loop_of
from groundup.generate.recorded import can_watch
from groundup.generate.windows import COMPILED
from groundup.model import GPT, Mask, empty_gpt, evaluation_mode
from groundup.model.attention import NoCache
from groundup.model.positions import Rotation, unrotated
from groundup.quantized.linear import JointLinear, QuantizedLinear

LONGEST = 1 << 24
"""Tokens that a cache may hold."""
EXAMPLE = 8
"""Tokens that the cache holds with which a block is compiled."""
PARTS = ("weight", "scales", "bias")


def compile_decoding(model: GPT, notice: Callable[[str], None] = lambda text: None) -> None:
    """Write single texts of `model` by compiled blocks from now on.

    For the first model of a shape on this machine that takes about 20 seconds, of which `notice` is
    told. Raises `UsageError` for a model that cannot be compiled, and where no compiler of C++
    is found. Numbers that change in place are seen; after other changes of the model its texts are
    written as ever, until it is compiled again.
    """
    with evaluation_mode(model):
        if not can_watch(model) or any(p.dtype != torch.float32 for p in model.parameters()):
            raise UsageError(
                "this model is not compiled: expected groundup's own parts in fp32, on a CPU, "
                f"without experts, sinks, caps on attention, adapters or hooks; {ELSE}"
            )
    COMPILED[model] = CompiledModel(model, notice).step


class OneVector(nn.Module):
    """A linear layer for one vector: each output is a sum over a row of weights."""

    weight: Tensor
    scales: Tensor | None
    bias: Tensor | None

    def __init__(self, parts: Mapping[str, Tensor], cap: Cap) -> None:
        super().__init__()
        for part in PARTS:
            self.register_buffer(part, parts.get(part))
        self.cap = cap

    def forward(self, x: Float[Tensor, "1 1 I"]) -> Float[Tensor, "1 1 O"]:
        """Return the product, with the bias."""
        out: Tensor = (x.view(1, -1) * self.weight).sum(dim=-1)
        if self.scales is not None:
            out = out * self.scales
        if self.bias is not None:
            out = out + self.bias
        return self.cap(out.view(1, 1, -1))


def one_query_attention(
    query: Float[Tensor, "1 N 1 H"],
    key: Float[Tensor, "1 K S H"],
    value: Float[Tensor, "1 K S H"],
    mask: Mask,
    drop_rate: float,
    scale: float,
) -> Float[Tensor, "1 N 1 H"]:
    """Return what `plain_attention` does for one query that sees everything, written as sums."""
    _, n_heads, _, width = query.shape
    grouped = query.view(key.shape[1], -1, 1, width)  # (K, N / K, 1, H)
    scores = (grouped * key.transpose(0, 1)).sum(dim=-1) * scale  # (K, N / K, S)
    weights = scores.softmax(dim=-1)[..., None]
    return (weights * value.transpose(0, 1)).sum(dim=-2).view(1, n_heads, 1, width)


class CompiledModel:
    """The loops of a model's blocks and of its head, and the tensors that each works with.

    It does not hold the model itself, which may be forgotten while this is waiting for its texts.
    """

    def __init__(self, model: GPT, notice: Callable[[str], None]) -> None:
        self.made_of, config = _state_of(model), model.config
        told = lru_cache(maxsize=1)(partial(notice, COMPILING))
        shell = empty_gpt(config, model.parts, one_query_attention).eval()
        for name, part in list(shell.named_modules()):
            if isinstance(part, nn.Linear):
                parts = _parts_of(model.get_submodule(name))
                shell.set_submodule(name, OneVector(parts, getattr(part, "cap", uncapped)))
        self.blocks = [_tensors_of(block) for block in model.blocks]
        self.end = _tensors_of(nn.Sequential(model.final_norm, model.lm_head))
        x = torch.zeros(1, 1, config.emb_dim)
        end = _End(nn.Sequential(shell.final_norm, shell.lm_head), self.end)
        block = _Block(shell.blocks[0], self.blocks[0])
        turns = {len(one): one for one in _turns(model, torch.zeros(1, 1, dtype=torch.long))}
        self.score = loop_of(_exported(end, (x,)), told)
        self.loops = {
            n: loop_of(_exported(block, *_example(config, one)), told) for n, one in turns.items()
        }

    def step(self, model: GPT, cache: KVCache) -> CompiledStep | None:
        """Return what reads the only row of `cache`, where `model` is what was compiled."""
        same = _state_of(model) == self.made_of and can_watch(model)
        return CompiledStep(self, model, cache) if same else None


class CompiledStep:
    """Reads one token of the only row of a `KVCache` that already holds what stands before it."""

    def __init__(self, compiled: CompiledModel, model: GPT, cache: KVCache) -> None:
        self.compiled, self.model, self.cache = compiled, model, cache
        self._places = torch.arange(cache.capacity)

    def __call__(self, tokens: Sequence[int]) -> Float[Tensor, "1 V"]:
        """Return the scores of what follows the token."""
        compiled, model = self.compiled, self.model
        seen = self._places[: self.cache.lengths[0] + 1]
        position = seen[-1:, None]
        x = model.embedded(torch.tensor([tokens])) * model.embedding_scale  # (1, 1, D)
        x = model.position_embedding(x, position)
        new = x.new_zeros(1, model.config.n_kv_heads, 1, model.config.head_dim)
        for layer, turns in enumerate(_turns(model, position)):
            buffers, tensors = self.cache.buffers_of(layer, new, new), compiled.blocks[layer]
            loop = compiled.loops[len(turns)]
            (x,) = loop([*tensors.values(), x, *buffers, *turns, seen[-1:], seen])
        (scores,) = compiled.score([*compiled.end.values(), x])
        self.cache.advance(1)
        return scores[:, 0]


def _state_of(model: GPT) -> list[object]:
    """Return what a model is made of: its modules, and where their numbers are."""
    return [*list(model.modules())[1:], *(p.data_ptr() for p in model.parameters())]


def _turns(model: GPT, position: Tensor) -> list[list[Tensor]]:
    """Return what each layer turns queries and keys by at a position (1, 1), if it does."""
    rotations = model.position_embedding.rotations(position, position.device)
    return [[r.cos, r.sin] if isinstance(r, Rotation) else [] for r in rotations]


class _Function(nn.Module):
    """A part of a model as a function of its tensors, too, so that all layers share its loop."""

    def __init__(self, part: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        own = dict(part.named_parameters()) | dict(part.named_buffers())
        if own.keys() != tensors.keys():
            raise UsageError(
                f"{min(own.keys() ^ tensors.keys())} is of no part that is compiled; {ELSE}"
            )
        self._part, self._names = (part,), [*tensors]  # in a tuple, lest it count as a module here
        self.tensors = [*tensors.values()]

    def _call(self, tensors: list[Tensor], *given: Any) -> Tensor:
        named = dict(zip(self._names, tensors, strict=True))
        found: Tensor = torch.func.functional_call(self._part[0], named, given, strict=True)
        return found


class _End(_Function):
    def forward(self, tensors: list[Tensor], x: Tensor) -> Tensor:
        return self._call(tensors, x)


class _Block(_Function):
    def forward(
        self,
        tensors: list[Tensor],
        x: Tensor,
        keys: Tensor,
        values: Tensor,
        turns: list[Tensor],
        place: Tensor,
        seen: Tensor,
    ) -> Tensor:
        rotate = Rotation(*turns) if turns else unrotated
        return self._call(tensors, x, _OneLayer(keys, values, place, seen.shape[0]), rotate)


class _OneLayer(NoCache):
    """A layer's part of a `KVCache`, as one more token sees it."""

    def __init__(self, keys: Tensor, values: Tensor, place: Tensor, n_seen: int) -> None:
        self.buffers, self.place, self.n_seen = (keys, values), place, n_seen

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Let it see everything."""
        return Mask(None, False)

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new key and value and return all of them."""
        keys, values = (
            buffer.index_copy_(2, self.place, new)[:, :, : self.n_seen]
            for buffer, new in zip(self.buffers, (key, value), strict=True)
        )
        return keys, values


def _parts_of(part: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module: of a linear layer by `PARTS`, else those of its own."""
    if isinstance(part, QuantizedLinear | JointLinear):
        if part.codes is None or part.codes.bits != 8:
            raise UsageError(
                f"weights in 4 bits are not compiled; {ELSE}, or quantize the run with --bits 8"
            )
        scales = part.codes.scales[:, 0].float()
        found = {"weight": part.codes.codes, "scales": scales, "bias": part.bias}
    else:
        found = dict(part.named_parameters(recurse=False))
    return {name: tensor.detach() for name, tensor in found.items() if tensor is not None}


def _tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return all tensors of a module, by the names that they have in the shell."""
    parts = ((name, _parts_of(part)) for name, part in module.named_modules())
    return {f"{name}.{own}": tensor for name, found in parts for own, tensor in found.items()}


def _example(config: GPTConfig, turns: list[Tensor]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return what a block may be called with, but for its tensors, and which sizes may differ."""
    x, seen = torch.zeros(1, 1, config.emb_dim), torch.arange(EXAMPLE)
    keys, values = torch.zeros(2, 1, config.n_kv_heads, EXAMPLE + 1, config.head_dim)
    capacity, n_seen = (torch.export.Dim(name, min=2, max=LONGEST) for name in ("c", "n"))
    sizes = (None, {2: capacity}, {2: capacity}, [None] * len(turns), None, {0: n_seen})
    return (x, keys, values, turns, seen[-1:], seen), sizes


def _exported(
    function: _Function, given: tuple[Any, ...], sizes: tuple[Any, ...] = (None,)
) -> Program:
    """Return what a function does, as a graph."""
    every = ([None] * len(function.tensors), *sizes)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(
            function, (function.tensors, *given), dynamic_shapes=every, strict=False
        )
