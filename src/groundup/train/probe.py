"""A short trial of training: in which number format does a layer of this model learn faster?"""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import Any

import torch

from groundup.config import GPTConfig
from groundup.device.rates import matmul_rate
from groundup.model import GPT
from groundup.optim.step import TrainStep
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
    """Return fp32 or bf16, whichever trains a layer of this model clearly faster, and why."""
    if config.emb_dim < LEAST_WIDTH:
        return "fp32", "the model is too narrow to gain from a narrower format"
    cpu = torch.device("cpu")
    rates = {name: matmul_rate(cpu, dtype, 0.05) for name, dtype in FORMATS.items()}
    ratio = rates["bf16"] / rates["fp32"]
    if ratio < CLEARLY:
        return "fp32", f"bf16 products run at {ratio:.1f} times the rate of fp32 here"
    seconds = layer_seconds(config, batch_size)
    gain = seconds["fp32"] / seconds["bf16"]
    reason = f"a layer of this model trains {gain:.1f} times as fast in bf16 here"
    return ("bf16" if gain >= CLEARLY else "fp32"), reason


def layer_seconds(config: GPTConfig, batch_size: int) -> dict[str, float]:
    """Return the median seconds of a forward and backward pass through a layer, by format."""
    model, tokens = _stand_in(config, batch_size)
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
    return {name: statistics.median(times[1:]) for name, times in spent.items()}


def _stand_in(config: GPTConfig, batch_size: int) -> tuple[GPT, torch.Tensor]:
    """Return a model of one layer like those of `config`, and tokens for it (B, T)."""
    length = min(config.context_length, MOST_TOKENS)
    small: dict[str, Any] = {"n_layers": 1, "vocab_size": 256, "context_length": length}
    if config.emb_dim > MOST_WIDTH or config.n_experts:
        width = min(config.emb_dim, MOST_WIDTH) // 128 * 128
        config = GPTConfig(emb_dim=width, n_heads=width // 64, **small)
    config = config.replace(**small, drop_rate=0.0)
    n_texts = max(1, min(batch_size, MOST_TOKENS // length))
    return new_model(config, 0).train(), torch.zeros(n_texts, length, dtype=torch.long)
