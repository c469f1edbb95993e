"""A short trial: in which number format do a layer of this model and its optimizer work faster?"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from groundup.base.errors import GroundupError
from groundup.base.files import cache_folder, read_json, write_json
from groundup.config import GPTConfig
from groundup.device.products import is_handed_over
from groundup.device.threads import cpu_threads
from groundup.optim.muon import orthogonalise_
from groundup.optim.step import TrainStep
from groundup.plan.calibration import machine_fingerprint
from groundup.train.start import new_model

CLEARLY = 1.15
"""16 bits are taken only where they are so many times as fast."""
LEAST_WIDTH = 128
"""In a narrower model the conversions alone cost what its products take."""
MOST_WIDTH, MOST_TOKENS = 1024, 512
"""A wider model, or a larger batch, gains what these do."""
SECONDS = 0.2
"""Time that the slower format gets, and at least two turns."""
FORMATS = (torch.float32, torch.bfloat16)
WORK = "attention by blocks in bf16"
"""What is timed: another name where that changes, so that older measurements are left."""


def cpu_precision(config: GPTConfig, batch_size: int) -> tuple[str, str]:
    """Return fp32 or bf16, whichever trains a layer of this model clearly faster, and why.

    What was measured is kept in the user's cache: the same command chooses the same again.
    """
    if config.emb_dim < LEAST_WIDTH:
        return "fp32", "the model is too narrow to gain from a narrower format"
    if (products := _product_gain()) < CLEARLY:
        return "fp32", f"bf16 products run at {products:.1f} times the rate of fp32 here"
    shape, tokens = _shape(config, batch_size)
    gain = _kept_or(lambda: layer_gain(shape, tokens), f"{asdict(shape)} {tokens}")
    reason = f"a layer of this model trains {gain:.1f} times as fast in bf16 here"
    return ("bf16" if gain >= CLEARLY else "fp32"), reason


def muon_precision(config: GPTConfig) -> tuple[str, str]:
    """Return the format in which Muon takes clearly less time for matrices so wide, and why.

    Its products are as large as the matrices, whatever the batch, so they gain where layers do not.
    """
    if (gain := _product_gain()) >= CLEARLY:
        width = min(config.emb_dim, MOST_WIDTH)
        gain = _kept_or(lambda: muon_gain(width), f"Muon {width}")
    reason = f"Muon's products run {gain:.1f} times as fast in bf16 here"
    return ("bf16" if gain >= CLEARLY else "fp32"), reason


def _product_gain() -> float:
    """Return how many times as fast one product is in bf16: little work even where that is slow."""
    factors = {dtype: torch.full((512, 512), 0.5, dtype=dtype) for dtype in FORMATS}
    return _kept_or(lambda: gain_of_bf16(lambda dtype: factors[dtype] @ factors[dtype]), "product")


def layer_gain(shape: GPTConfig, of: tuple[int, int]) -> float:
    """Return how many times as fast `of` (B, T) tokens go through a layer and back in bf16."""
    model, tokens = new_model(shape, 0).train(), torch.zeros(of, dtype=torch.long)
    step = TrainStep(model)

    def learn(dtype: torch.dtype) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            loss, _ = step(tokens, tokens)
        loss.backward()
        model.zero_grad()

    return gain_of_bf16(learn)


def muon_gain(width: int) -> float:
    """Return how many times as fast matrices so wide are made orthogonal in bf16."""
    matrices = torch.linspace(-1, 1, 4 * width * width).view(4, width, width)
    with torch.no_grad():
        return gain_of_bf16(lambda dtype: orthogonalise_(matrices.to(dtype, copy=True)))


def gain_of_bf16(work: Callable[[torch.dtype], object]) -> float:
    """Return how many times as fast some work is in bf16 as in fp32, on one thread, in turns.

    Of one thread the time on a CPU can be told, whatever else the machine does meanwhile.
    """
    spent = dict.fromkeys(FORMATS, 0.0)
    turns = 0
    with cpu_threads(1):
        for dtype in FORMATS:  # at first, what is used from then on is made
            work(dtype)
        while max(spent.values()) < SECONDS or turns < 2:
            turns += 1
            for dtype in FORMATS:
                begun = time.thread_time()
                work(dtype)
                spent[dtype] += time.thread_time() - begun
    return spent[torch.float32] / spent[torch.bfloat16]


def _kept_or(measure: Callable[[], float], what: str) -> float:
    """Return what was measured of this before, in these circumstances, else measure and keep it."""
    where = machine_fingerprint(), torch.__version__, is_handed_over(), WORK
    name = hashlib.sha256(repr((where, what)).encode()).hexdigest()[:16]
    with contextlib.suppress(GroundupError, LookupError, TypeError, ValueError, AttributeError):
        if 0 < (gain := float(read_json(_path())[name])) < math.inf:
            return gain
    gain = measure()
    _keep(name, gain)
    return gain


def _keep(name: str, gain: float) -> None:
    known: Any = {}
    with contextlib.suppress(GroundupError):
        known = read_json(_path())
    with contextlib.suppress(GroundupError, OSError):  # it is measured again, then
        write_json(_path(), {**(known if isinstance(known, dict) else {}), name: gain})


def _path() -> Path:
    return cache_folder() / "precision.json"


def _shape(config: GPTConfig, batch_size: int) -> tuple[GPTConfig, tuple[int, int]]:
    """Return a model of one layer like those of `config`, and the shape (B, T) of its tokens."""
    length = min(config.context_length, MOST_TOKENS)
    small: dict[str, Any] = {"n_layers": 1, "vocab_size": 256, "context_length": length}
    if config.emb_dim > MOST_WIDTH or config.n_experts:
        width = min(config.emb_dim, MOST_WIDTH) // 128 * 128
        config = GPTConfig(emb_dim=width, n_heads=width // 64, **small)
    config = config.replace(**small, drop_rate=0.0)
    return config, (max(1, min(batch_size, MOST_TOKENS // length)), length)
