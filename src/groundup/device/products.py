"""Which library computes a CPU's matrix products: PyTorch's own choice (MKL), or oneDNN.

On an AMD processor with AVX-512 (Zen 4) oneDNN was measured to multiply fp32 faster than MKL;
others were not tried. PyTorch hands it such products only where they may be rounded to bf16. What
oneDNN then does depends on the processor: that one rounds nothing, which is tried before it is
relied on.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from groundup.base.hardware import is_amd_cpu

DEFAULT, ONEDNN = "default", "onednn"
FEWEST_ROWS = 16
"""Products of fewer rows, as in writing, are left to PyTorch: none was measured."""
NARROW = 64
"""The gradient of a matrix with fewer columns is left to MKL: it was faster for 16 columns, oneDNN
for 576 and more; nothing between was measured."""

_libraries: list[torch.library.Library] = []
"""What hands linear layers to oneDNN, while that is in force."""
_threads: list[int] = []
"""The thread for which that was asked, once for each training within another. No other thread's
products are handed over: what PyTorch permits, it permits to all threads at once."""


def choose_products() -> tuple[str, str]:
    """Return the library for fp32 products on this CPU, and why."""
    if not (is_amd_cpu() and torch.backends.cpu.get_cpu_capability() == "AVX512"):
        return DEFAULT, "oneDNN is known to be faster only on AMD's processors with AVX-512"
    if not onednn_is_exact():
        return DEFAULT, "oneDNN rounds factors to bf16 here"
    return ONEDNN, "faster than MKL on AMD's processors with AVX-512"


@lru_cache(maxsize=1)
def onednn_is_exact() -> bool:
    """Return whether oneDNN multiplies fp32 here without rounding the factors to fewer bits."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    factors = torch.linspace(1, 2, 64 * 64).view(64, 64)
    with _permitted():
        product = factors @ factors
    exact = factors.double() @ factors.double()
    return bool((product / exact - 1).abs().max() < 1e-5)  # bf16 keeps 8 bits: 4e-3


@contextlib.contextmanager
def linear_products(library: str) -> Iterator[None]:
    """Let `library` compute this thread's linear layers, both ways, and `chosen_products`.

    While one thread has asked, others have PyTorch's own choice, whatever they ask for.
    """
    if _threads and not _is_ours():
        yield
        return
    before = bool(_libraries)
    _threads.append(threading.get_ident())
    # A run may go on on another processor, or on several.
    _hand_over(library == ONEDNN and onednn_is_exact())
    try:
        yield
    finally:
        _hand_over(before)
        _threads.pop()


def _hand_over(wanted: bool) -> None:
    """Register what hands linear layers to oneDNN, or take it away."""
    if wanted and not _libraries:
        _libraries.append(torch.library.Library("aten", "IMPL"))  # type: ignore[no-untyped-call]
        _libraries[0].impl("linear", _linear, "AutogradCPU")  # type: ignore[no-untyped-call]
    elif not wanted and _libraries:
        _libraries.pop()._destroy()  # type: ignore[no-untyped-call]


def is_handed_over() -> bool:
    """Return whether this thread's linear layers are oneDNN's now."""
    return bool(_libraries) and _is_ours()


def _is_ours() -> bool:
    """Return whether this is the thread that asked."""
    return threading.get_ident() in _threads


def chosen_products() -> contextlib.AbstractContextManager[None]:
    """Return the context in which the library in force computes all products.

    Only for plain ones: within it, attention loses more than it gains.
    """
    return _permitted() if is_handed_over() else contextlib.nullcontext()


@contextlib.contextmanager
def _permitted() -> Iterator[None]:
    settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x (..., I) by the transpose of weight (O, I), with the bias added."""
    if not _is_ours() or _is_special(x, weight, bias) or _n_rows(x) < FEWEST_ROWS:
        product = x.matmul(weight.t())
        return product if bias is None else product + bias
    rows = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
    y: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return y if x.dim() == 2 else y.view(*x.shape[:-1], len(weight))


def _is_special(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Return whether these are other numbers than fp32, or shapes that no linear layer has."""
    plain = x.dtype == weight.dtype == torch.float32 and weight.dim() == 2
    return not plain or (bias is not None and bias.dim() != 1)


def _n_rows(x: Tensor) -> int:
    return x.numel() // max(1, x.shape[-1])


class _Linear(torch.autograd.Function):
    """The linear layer, by oneDNN."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        needs_rows, needs_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(rows if needs_weight else None, weight if needs_rows else None)
        ctx.width = weight.shape[1]
        with _permitted():
            return rows.mm(weight.t()) if bias is None else torch.addmm(bias, rows, weight.t())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        grad_rows = grad_weight = None
        if weight is not None:
            with _permitted():
                grad_rows = gradient.mm(weight)
        if rows is not None:
            with _permitted() if ctx.width >= NARROW else contextlib.nullcontext():
                grad_weight = gradient.t().mm(rows)
        return grad_rows, grad_weight, gradient.sum(0) if ctx.needs_input_grad[2] else None
