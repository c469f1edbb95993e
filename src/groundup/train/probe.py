"""A short trial of training: in which number format does a layer of this model learn faster?"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from groundup.base.errors import GroundupError
from groundup.base.files import cache_folder, read_json, write_json
from groundup.config import GPTConfig
from groundup.device.products import is_handed_over
from groundup.device.rates import matmul_rate
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
    gains = _kept(_circumstances(config, batch_size))
    if not gains:
        gains = _measured(config, batch_size)
        _keep(_circumstances(config, batch_size), gains)
    if "layer" not in gains:
        return "fp32", f"bf16 products run at {gains['products']:.1f} times the rate of fp32 here"
    reason = f"a layer of this model trains {gains['layer']:.1f} times as fast in bf16 here"
    return ("bf16" if gains["layer"] >= CLEARLY else "fp32"), reason


def _measured(config: GPTConfig, batch_size: int) -> dict[str, float]:
    """Return how many times as fast bf16 is: products and, where these gain, a layer."""
    cpu = torch.device("cpu")
    rates = {name: matmul_rate(cpu, dtype, 0.05) for name, dtype in FORMATS.items()}
    gains = {"products": rates["bf16"] / rates["fp32"]}
    if gains["products"] >= CLEARLY:
        seconds = layer_seconds(config, batch_size)
        gains["layer"] = seconds["fp32"] / seconds["bf16"]
    return gains


def _circumstances(config: GPTConfig, batch_size: int) -> str:
    """Return a name for all that what is measured depends on."""
    stood_in, tokens = _shape(config, batch_size)
    machine = machine_fingerprint(), torch.__version__, torch.get_num_threads()
    facts = repr((machine, is_handed_over(), tokens, asdict(stood_in)))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _kept(name: str) -> dict[str, float]:
    """Return what was measured in these circumstances before, if anything."""
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


def layer_seconds(config: GPTConfig, batch_size: int) -> dict[str, float]:
    """Return the least seconds of a forward and backward pass through a layer, by format.

    The least, as what else the machine does only adds to them.
    """
    shape, (n_texts, length) = _shape(config, batch_size)
    model, tokens = new_model(shape, 0).train(), torch.zeros(n_texts, length, dtype=torch.long)
    step = TrainStep(model)
    spent: dict[str, list[float]] = {name: [] for name in FORMATS}
    while any(sum(times) < SECONDS or len(times) < 3 for times in spent.values()):
        for name, dtype in FORMATS.items():
            begun = time.perf_counter()
            with torch.autocast("cpu", dtype) if name == "bf16" else contextlib.nullcontext():
                loss, _ = step(tokens, tokens)
            loss.backward()
            model.zero_grad()
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
