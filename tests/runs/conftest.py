"""A run folder like those that training writes, without training."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundup.config import GPTConfig, TrainConfig, as_table, preset
from groundup.runs.folder import RunFolder
from groundup.runs.manifest import Manifest

TEXT = (
    "ROMEO:\nWhat light is this that breaks upon the wall,\nAnd draws my heart to thee?\n\n"
    "JULIET:\nThou know'st the mask of night is on my face,\nElse would a maiden blush.\n\n"
)
SHAPE = {"vocab_size": 2048, "emb_dim": 256, "n_heads": 4, "qkv_bias": False}
MakeRun = Callable[..., Path]


def tables(config: GPTConfig, train: TrainConfig) -> dict[str, Any]:
    """Return what run.toml holds."""
    memory = {"weights": 13.1, "gradients": 13.1, "optimizer": 26.2, "activations": 88.4}
    memory |= {"logits": 12.0, "process": 240.0, "total": 392.8}
    return {
        "model": as_table(config),
        "train": as_table(train),
        "data": {
            "sources": ["shakespeare"],
            "fingerprint": "5f1c",
            "tokenizer": "bpe",
            "vocab_size": config.vocab_size,
            "split_rule": "by document hash",
            "train_tokens": 1_500_000,
            "val_tokens": 160_000,
            "train_bytes": 4_800_000,
            "val_bytes": 512_000,
        },
        "request": {
            "preset": "nano",
            "command": ["groundup", "train", "shakespeare", "--set", "a b"],
        },
        "choices": {"device": "cpu", "reasons": {"device": "no GPU is present"}},
        "versions": {"groundup": "0.1.0", "torch": "2.13.0", "python": "3.11.2"},
        "machine": {"cpu": "An Ordinary CPU @ 2.4 GHz", "cores": 2, "memory_gib": 7.8},
        "plan": {
            "parameters": 3_718_912,
            "expected_seconds": 230.0,
            "seconds_per_step": 0.115,
            "memory_mib": memory,
            "flops_per_token": 2.2e7,
        },
    }


def metric_lines(steps: int, every: int, evals: int, floor: float) -> list[dict[str, Any]]:
    """Return the lines of an ordinary run that goes down towards `floor`."""
    noise, lines = random.Random(0), []
    for step in range(steps + 1):
        loss = floor + (7.7 - floor) * math.exp(-3.2 * (step / max(1, steps)) ** 0.6)
        at = {"step": step, "tokens": step * 2048, "seconds": round(step * 0.118, 3)}
        if step and (step % every == 0 or step == 1):
            rate = 1e-3 * min(1.0, step / 100) * (0.55 + 0.45 * math.cos(math.pi * step / steps))
            train = {"train_loss": loss + noise.gauss(0, 0.09), "lr": rate}
            train["grad_norm"] = 0.6 + math.exp(-step / 50) * 4 + abs(noise.gauss(0, 0.15))
            lines.append(at | train | {"tokens_per_second": 17300 + noise.gauss(0, 500)})
        if step % max(1, steps // evals) == 0:
            val = loss + 0.1
            scores = {"val_perplexity": math.exp(val), "val_bits_per_byte": val / 2.218}
            lines.append(at | {"val_loss": val} | scores)
    return lines


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that writes a run folder and returns its path."""

    def make(
        name: str = "shakespeare-nano",
        *,
        steps: int = 2000,
        every: int = 1,
        finished: bool = True,
        floor: float = 2.9,
        lines: list[dict[str, Any]] | None = None,
        samples: list[dict[str, Any]] | None = None,
        model: dict[str, Any] | None = None,
        train: dict[str, Any] | None = None,
        **changes: dict[str, Any],
    ) -> Path:
        folder = RunFolder(tmp_path / "runs" / name)
        content = tables(
            preset("gpt2-nano", **(SHAPE | (model or {}))),
            TrainConfig(steps=steps, **(train or {})),
        )
        for table, values in changes.items():
            content[table] = content.get(table, {}) | values
        folder.write(Manifest.of(content))
        if lines is None:
            lines = metric_lines(steps, every, 20, floor)
        if finished and lines:
            last = {"seconds": steps * 0.118, "val_loss": floor + 0.32, "val_perplexity": 25.03}
            last |= {"val_bits_per_byte": 1.452, "wall_seconds": steps * 0.13}
            lines = [*lines, last | {"step": steps, "event": "finished", "peak_memory_mib": 411.7}]
        if samples is None:
            at = range(0, steps + 1, max(1, steps // 10))
            samples = [{"step": s, "prompt": "", "text": TEXT} for s in at]
            samples[0]["text"] = "zeal pur the ofthe qu'd,;ll Anthem ward be be\ning fall ~ hence"
        for path, records in ((folder.metrics, lines), (folder.samples, samples)):
            path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return folder.path

    return make
