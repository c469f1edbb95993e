"""A training step, eager and compiled, with a window, a soft cap and shared keys: how they differ.

A process of its own, as what checks the shapes in tests cannot be compiled.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch._dynamo.utils import counters

from groundup.attend import blockwise
from groundup.config import GPTConfig
from groundup.model import GPT
from groundup.optim.compiled import compile_step
from groundup.optim.step import TrainStep

SHAPE: dict[str, Any] = {
    "vocab_size": 64, "context_length": 96, "emb_dim": 32, "n_heads": 4, "n_kv_heads": 1,
    "n_layers": 2, "window": 24, "window_pattern": "LG", "attention_softcap": 5.0,
}  # fmt: skip


def main() -> None:
    blockwise.BLOCK = 40  # several, the last one shorter
    config = GPTConfig(**SHAPE)
    tokens = torch.randint(config.vocab_size, (2, config.context_length))
    found = []
    for is_compiled in (False, True):
        torch.manual_seed(1)
        step = TrainStep(GPT(config), "fused")
        if is_compiled:
            compile_step(step)
        loss, _ = step(tokens, tokens)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in step.model.parameters())])
    differences = [float((a - b).abs().max() / a.abs().max()) for a, b in zip(*found, strict=True)]
    breaks = dict(counters["graph_break"])
    print(json.dumps([max(differences), counters["stats"]["calls_captured"], breaks]))


if __name__ == "__main__":
    main()
