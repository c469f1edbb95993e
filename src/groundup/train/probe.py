"""A short trial: in which number format do a layer of this model and its optimizer work faster?"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from groundup.base.errors import GroundupError
from groundup.base.files import cache_folder, read_json, write_json
from groundup.config import GPTConfig
from groundup.device.products import is_handed_over
from groundup.device.rates import matmul_rate
from groundup.optim.muon import orthogonalise_
from groundup.optim.step import TrainStep
from groundup.plan.calibration import machine_fingerprint
from groundup.train.start import new_model

CLEARLY = 1.3
"""16-bit products are taken only where they make a layer so many times as fast."""
LEAST_WIDTH = 128
"""In a narrower model the conversions alone cost what its products take."""
MOST_WIDTH, MOST_TOKENS = 1024, 1024
"""A wider model, or a larger batch, gains what these do."""
SECONDS = 0.2
"""Time that each format gets, at least two turns."""
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def cpu_precision(config: GPTConfig, batch_size: int) -> tuple[str, str]:
    """Return fp32 or bf16, whichever trains a layer of this model clearly faster, and why.

    What was measured is kept in the user's cache: the same command chooses the same again.
    """
    if config.emb_dim < LEAST_WIDTH:
        return "fp32", "the model is too narrow to gain from a narrower format"
    shape, tokens = _shape(config, batch_size)
    gains = _kept_or(lambda: _layer_gains(shape, tokens), f"{asdict(shape)} {tokens}")
    if "layer" not in gains:
        return "fp32", f"bf16 products run at {gains['products']:.1f} times the rate of fp32 here"
    reason = f"a layer of this model trains {gains['layer']:.1f} times as fast in bf16 here"
    return ("bf16" if gains["layer"] >= CLEARLY else "fp32"), reason


def muon_precision(config: GPTConfig) -> tuple[str, str]:
    """Return the format in which Muon takes clearly less time for matrices so wide, and why.

    Its products are as large as the matrices, whatever the batch, so they gain where layers do not.
    """
    width = min(config.emb_dim, MOST_WIDTH)
    gain = _kept_or(lambda: _muon_gains(width), f"Muon {width}")["products"]
    reason = f"Muon's products run {gain:.1f} times as fast in bf16 here"
    return ("bf16" if gain >= CLEARLY else "fp32"), reason


def _layer_gains(shape: GPTConfig, tokens: tuple[int, int]) -> dict[str, float]:
    """Return how many times as fast bf16 is: products and, where these gain, a layer."""
    cpu = torch.device("cpu")
    rates = {name: matmul_rate(cpu, dtype, 0.05) for name, dtype in FORMATS.items()}
    gains = {"products": rates["bf16"] / rates["fp32"]}
    if gains["products"] >= CLEARLY:
        seconds = layer_seconds(shape, tokens)
        gains["layer"] = seconds["fp32"] / seconds["bf16"]
    return gains


def _muon_gains(width: int) -> dict[str, float]:
    """Return how many times as fast matrices of this width are made orthogonal in bf16."""
    matrices = torch.linspace(-1, 1, 4 * width * width).view(4, width, width)
    with torch.no_grad():
        seconds = _least_seconds(lambda dtype: orthogonalise_(matrices.to(dtype, copy=True)))
    return {"products": seconds["fp32"] / seconds["bf16"]}


def _kept_or(measure: Callable[[], dict[str, float]], what: str) -> dict[str, float]:
    """Return what was measured of this before, in these circumstances, else measure and keep it."""
    machine = machine_fingerprint(), torch.__version__, torch.get_num_threads()
    name = hashlib.sha256(repr((machine, is_handed_over(), what)).encode()).hexdigest()[:16]
    if not (gains := _kept(name)):
        gains = measure()
        _keep(name, gains)
    return gains


def _kept(name: str) -> dict[str, float]:
    """Return what was measured under this name before, if anything."""
    with contextlib.suppress(GroundupError, LookupError, TypeError, ValueError, AttributeError):
        found = read_json(_path())[name]
        gains = {key: float(found[key]) for key in ("products", "layer") if key in found}
        if "products" in gains and all(0 < gain < math.inf for gain in gains.values()):
            return gains
    return {}


def _keep(name: str, gains: Mapping[str, float]) -> None:
    known: Any = {}
    with contextlib.suppress(GroundupError):
        known = read_json(_path())
    with contextlib.suppress(GroundupError, OSError):  # it is measured again, then
        write_json(_path(), {**(known if isinstance(known, dict) else {}), name: dict(gains)})


def _path() -> Path:
    return cache_folder() / "precision.json"


def layer_seconds(shape: GPTConfig, of: tuple[int, int]) -> dict[str, float]:
    """Return the least seconds of a forward and backward pass of `of` (B, T) tokens, by format."""
    model, tokens = new_model(shape, 0).train(), torch.zeros(of, dtype=torch.long)
    step = TrainStep(model)

    def learn(dtype: torch.dtype) -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
            loss, _ = step(tokens, tokens)
        loss.backward()
        model.zero_grad()

    return _least_seconds(learn)


def _least_seconds(work: Callable[[torch.dtype], object]) -> dict[str, float]:
    """Return the least seconds of some work by format, in turns, behind a first one.

    The least, as what else the machine does only adds to them.
    """
    spent: dict[str, list[float]] = {name: [] for name in FORMATS}
    while any(sum(times) < SECONDS or len(times) < 3 for times in spent.values()):
        for name, dtype in FORMATS.items():
            begun = time.perf_counter()
            work(dtype)
            spent[name].append(time.perf_counter() - begun)
    return {name: min(times[1:]) for name, times in spent.items()}


def _shape(config: GPTConfig, batch_size: int) -> tuple[GPTConfig, tuple[int, int]]:
    """Return a model of one layer like those of `config`, and the shape (B, T) of its tokens."""
    length = min(config.context_length, MOST_TOKENS)
    small: dict[str, Any] = {"n_layers": 1, "vocab_size": 256, "context_length": length}
    if config.emb_dim > MOST_WIDTH or config.n_experts:
        width = min(config.emb_dim, MOST_WIDTH) // 128 * 128
        config = GPTConfig(emb_dim=width, n_heads=width // 64, **small)
    config = config.replace(**small, drop_rate=0.0)
    return config, (max(1, min(batch_size, MOST_TOKENS // length)), length)
