"""A training on rows of which not all targets count, for tests in one process or in several.

Run as a module, it trains as a launcher's variables say, and writes what came of each step.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from groundup import GPT, GPTConfig, TrainConfig
from groundup.base.signals import Requests
from groundup.data import IGNORED, Batch
from groundup.optim.step import Step
from groundup.processes.alone import ALONE, Alone
from groundup.processes.distributed import arrange, joined
from groundup.processes.launch import place
from groundup.train import Trainer, choose, new_model
from groundup.train.choices import Choices
from groundup.train.listener import Listener, Tensors
from groundup.train.progress import Progress

CONFIG = GPTConfig(vocab_size=61, context_length=12, emb_dim=16, n_heads=2, n_layers=2)
PER_STEP = 8
N_ROWS = 5 * PER_STEP
SETTINGS: dict[str, Any] = {
    "steps": 6,
    "batch_size": 4,
    "accumulation": 2,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
    "grad_clip": 0.5,
    "device": "cpu",
    "precision": "fp32",
    "threads": 1,
    "save_every": 1,
    "sample_tokens": 0,
}


class MaskedRows:
    """Rows of different lengths, the first half of each a prompt; each row has a weight.

    The steps of `silent` have no target that counts; in the others, the first half of the rows
    has none: all that one process of two, or one pass of two, sees.
    """

    n_rows = N_ROWS
    n_tokens = 8 * N_ROWS
    n_targets: int | None = None

    def __init__(self, silent: set[int]) -> None:
        self.silent = silent

    def rows(self, first: int, n: int) -> Batch:
        """Return rows of at most 12 tokens, padded to 12."""
        tokens = np.zeros((n, 12), dtype=np.int64)
        targets = np.full((n, 12), IGNORED, dtype=np.int64)
        weights = np.zeros(n, dtype=np.float32)
        n_tokens = 0
        for i in range(n):
            step, place = divmod(first + i, PER_STEP)
            text = np.random.default_rng((first + i) % N_ROWS).integers(61, size=14)
            length = 5 + (first + i) % 8
            n_tokens += length
            tokens[i, :length] = text[:length]
            weights[i] = 1 + place / 4
            if step not in self.silent and place >= PER_STEP // 2:
                targets[i, length // 2 : length] = text[length // 2 + 1 : length + 1]
        return Batch({"tokens": tokens, "targets": targets, "weights": weights}, n_tokens)


class WeightedStep(Step[GPT]):
    """Next-token prediction in which rows count as much as they weigh."""

    def forward(
        self, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B T"], weights: Float[Tensor, " B"]
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum in nats, n_targets)."""
        logits = self.worker(tokens).flatten(0, 1).float()
        losses = F.cross_entropy(logits, targets.flatten(), reduction="none", ignore_index=IGNORED)
        loss_sum = (losses.view_as(targets) * weights[:, None]).sum()
        return loss_sum, torch.count_nonzero(targets != IGNORED)


class Steps(Listener):
    """Keeps what is told, and a hash of the state after each step."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.weights: list[str] = []
        self.memory: list[str] = []
        self.last: dict[str, Tensor] = {}

    def metrics(self, record: dict[str, Any]) -> None:
        self.records.append(record)

    def save(self, progress: Progress, model: Tensors, trainer: Tensors) -> None:
        self.weights.append(digest(model))
        self.memory.append(digest(trainer))
        self.last = {name: tensor.clone() for name, tensor in model.items()}


def digest(tensors: Tensors) -> str:
    """Return a hash of tensors and their names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode() + tensors[name].contiguous().float().numpy().tobytes())
    return found.hexdigest()


def partly_frozen() -> GPT:
    """Return a model whose second block and final norm learn, and nothing else."""
    model = new_model(CONFIG, seed=3).requires_grad_(False)
    model.blocks[1].requires_grad_()
    model.final_norm.requires_grad_()
    return model


def masked_trainer(
    silent: set[int],
    world: Alone = ALONE,
    choices: Choices | None = None,
    copy_dtype: torch.dtype | None = None,
    **changes: Any,
) -> tuple[Trainer, Steps]:
    """Return a training in which the steps of `silent` have no target, and what listens to it."""
    choices = choices or choose(TrainConfig(**{**SETTINGS, **changes}), CONFIG)
    steps = Steps()
    trainer = Trainer(
        step=WeightedStep(partly_frozen(), copy_dtype),
        batches=MaskedRows(silent),
        choices=choices,
        evaluate=lambda *asked: None,
        sample=lambda between: None,
        listeners=[steps],
        world=world,
    )
    return trainer, steps


def fit(trainer: Trainer) -> Progress:
    """Train to the end."""
    trainer.progress.due = []
    return trainer.fit(Requests())


def main(folder: Path, settings: dict[str, Any]) -> None:
    """Train as one of several processes; the first one writes into `folder`."""
    own = place()
    assert own is not None
    silent = set(settings.pop("silent"))
    choices = choose(TrainConfig(**SETTINGS | settings), CONFIG, ranks=own.size)
    with joined(own, 60.0, print) as others, choices.in_force():
        trained = masked_trainer(silent, arrange(others, choices.config, choices.device), choices)
        write(folder, *trained)


def write(folder: Path, trainer: Trainer, steps: Steps) -> None:
    """Train, and write what was told."""
    progress = fit(trainer)
    if trainer.world.rank == 0:
        told = {name: getattr(steps, name) for name in ("records", "weights", "memory")}
        state = dataclasses.asdict(progress)
        (folder / "told.json").write_text(json.dumps(told | {"progress": state}))
        save_file(steps.last, folder / "last.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
