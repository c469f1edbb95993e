"""The next token of every row as a flat list of calls: a decoding step on a CPU, recorded once.

Computing a token of a small model is some thousand calls, most of which compute nothing: modules
call each other, and views are made that were the same a token before. The step is run once and
watched; afterwards only what computes is called again, in its order, on the same tensors. The
numbers stay those of the model as it is written.
"""

from __future__ import annotations

import contextlib
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules
from torch.overrides import TorchFunctionMode

from groundup.config import GPTConfig, foreign_parts
from groundup.generate.cache import KVCache
from groundup.generate.products import suited
from groundup.model import GPT, Mask, fused_attention

INTO: dict[str, Callable[..., object]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "gelu": torch._C._nn.gelu,
    "cat": torch.cat,
}
"""What can write into a tensor that is there, by the names of functions and methods."""
CONVERTS = frozenset({"float", "bfloat16", "half", "to"})
"""What only changes the numbers' format."""
DESCRIBES = frozenset({"__get__", "dim", "size", "numel", "is_floating_point", "is_contiguous"})
"""What tells of a tensor that which stays the same from token to token."""


class NotRecordableError(Exception):
    """A step does what a list of calls cannot repeat."""


def can_repeat(cache: KVCache) -> bool:
    """Tell whether the next token of each row can be had by repeating a recorded step.

    The rows have the same length, no window hides anything yet, and nothing depends on the data.
    """
    windows = {cache.config.window_of(layer) for layer in range(cache.config.n_layers)}
    n_seen = max(cache.lengths) + 1
    return (
        n_seen == min(cache.lengths) + 1
        and 1 < n_seen <= cache.capacity
        and all(window is None or n_seen <= window for window in windows)
        and torch.is_inference_mode_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def can_watch(model: GPT) -> bool:
    """Tell whether it is worth trying: on a CPU, with nothing but this package's own code.

    That of others may do more with every token than call PyTorch: count them, or look at the
    number of keys.
    """
    config: GPTConfig = model.config
    plain = not config.n_experts and not config.attention_sinks and not foreign_parts(config)
    own = plain and model.device.type == "cpu"
    return own and not any(_hooks_of(model)) and all(map(_is_known, model.modules()))


def _is_known(module: nn.Module) -> bool:
    """Tell whether a module computes what its class does, which is none of somebody else's."""
    known = type(module).__module__.startswith(("torch.nn.", "groundup."))
    attends = getattr(module, "attend", fused_attention) is fused_attention
    return known and attends and not module.training and "forward" not in vars(module)


def _hooks_of(model: nn.Module) -> list[Mapping[int, object]]:
    """Return the tables of what is called beside the modules, as they are from now on."""
    found: list[Mapping[int, object]] = [
        torch_modules._global_forward_hooks,
        torch_modules._global_forward_pre_hooks,
    ]
    for module in model.modules():
        found += (module._forward_hooks, module._forward_pre_hooks)
    return found


class RecordedStep:
    """Reads one token of each row of a `KVCache` that already holds what stands before it."""

    def __init__(self, model: GPT, cache: KVCache) -> None:
        """Record the step; raises `NotRecordableError`. Nothing is read yet."""
        self.cache = cache
        self._tables: list[dict[str, Any]] = [
            table
            for module in model.modules()
            for table in (module._parameters, module._buffers, module._modules)
            if table
        ]
        self._parts, self._hooks = self._present_parts(), _hooks_of(model)
        self._tokens = torch.zeros(len(cache.lengths), 1, dtype=torch.long, device=cache.device)
        self._position = torch.tensor([[cache.lengths[0]]], device=cache.device)
        recorder = _Recorder()
        view = _View(cache, self._position, recorder)
        with recorder:
            hidden = model.hidden_states(self._tokens, view)
            self._scores: Tensor = model.lm_head(hidden[:, -1])
        self._program = recorder.program

    def is_outdated(self) -> bool:
        """Tell whether the model has other modules or parameters by now, or is watched.

        Numbers that change in place, as those of a training do, are seen by the step.
        """
        parts = self._present_parts()
        same = len(parts) == len(self._parts) and all(map(operator.is_, parts, self._parts))
        return not same or any(self._hooks)

    def __call__(self, tokens: Sequence[int]) -> Float[Tensor, "B V"]:
        """Return the scores of what follows `tokens`; the next call overwrites them."""
        self._tokens.copy_(torch.tensor(tokens, device=self._tokens.device)[:, None])
        self._position.fill_(self.cache.lengths[0])
        for call in self._program:
            call()
        self.cache.advance(1)
        return self._scores

    def _present_parts(self) -> list[object]:
        return [*itertools.chain.from_iterable(map(dict.values, self._tables))]


class _View:
    """A `KVCache` of even rows, as one more token for each sees it."""

    def __init__(self, cache: KVCache, position: Int[Tensor, "1 1"], recorder: _Recorder) -> None:
        self._cache, self._position, self._recorder = cache, position, recorder

    def positions(self, n_new: int) -> Int[Tensor, "1 1"]:
        """Return the position of all rows' next token."""
        return self._position

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Let it see everything."""
        return Mask(None, False)

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return all keys and values, in tensors that grow from token to token."""
        pair = self._cache.buffers_of(layer, key, value)
        with self._recorder.paused():
            keys, values = (
                self._grown(buffer, new) for buffer, new in zip(pair, (key, value), strict=True)
            )
        return keys, values

    def advance(self, n_new: int) -> None:
        """Leave the lengths to the step."""

    def _grown(self, buffer: Tensor, new: Tensor) -> Tensor:
        cache, (n_rows, n_heads, _, width) = self._cache, buffer.shape
        seen, strides = buffer[:, :, :1], buffer.stride()

        def put() -> None:
            place = cache.lengths[0]
            buffer.narrow(2, place, 1).copy_(new)
            seen.as_strided_((n_rows, n_heads, place + 1, width), strides)

        put()
        self._recorder.program.append(put)
        self._recorder.growing.append(seen)
        return seen


class _Recorder(TorchFunctionMode):
    """Watches calls, and writes down those that compute, with the tensors that they shall fill."""

    def __init__(self) -> None:
        super().__init__()
        self.program: list[Callable[[], object]] = []
        self.growing: list[Tensor] = []
        self._paused = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Write nothing down meanwhile."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def __torch_function__(
        self, call: Any, types: Any, given: tuple[Any, ...] = (), named: Any = None
    ) -> Any:
        call, named = suited(call), named or {}
        result = call(*given, **named)
        if not self._paused:
            self._write_down(call, given, named, result)
        return result

    def _write_down(self, call: Any, given: tuple[Any, ...], named: Any, result: Any) -> None:
        name = getattr(call, "__name__", "")
        if name in DESCRIBES:
            return
        tensors = list(_tensors((*given, *named.values())))
        grown = any(tensor is seen for tensor in tensors for seen in self.growing)
        if grown and call is not F.scaled_dot_product_attention:
            raise NotRecordableError(f"{name} of all keys or values")
        made = list(_tensors((result,)))
        if name == "__setitem__" or (made and name.endswith("_") and made[0] is given[0]):
            self.program.append(partial(call, *given, **named))
        elif not made or named.get("inplace") or "out" in named:
            raise NotRecordableError(f"{name} tells of numbers, or changes them")
        elif not any(_share(one, other) for one in made for other in tensors):
            self.program.append(_again(call, name, given, named, result))


def _again(
    call: Any, name: str, given: tuple[Any, ...], named: Any, result: Any
) -> Callable[[], object]:
    """Return a call that computes `result` anew, in its place."""
    if name in CONVERTS:
        return partial(result.copy_, given[0])
    if name in INTO:
        return partial(INTO[name], *given, **named, out=result)
    compute = partial(call, *given, **named)
    if isinstance(result, Tensor):
        store = result.copy_
        return lambda: store(compute())

    def store_all() -> None:
        for old, new in zip(result, compute(), strict=True):
            old.copy_(new)

    return store_all


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


def _share(one: Tensor, other: Tensor) -> bool:
    return one is other or one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
