"""From a run folder back to a model that can be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.base.errors import RunError, UsageError
from groundup.config import GPTConfig, build
from groundup.model import GPT
from groundup.runs.checkpoint import Checkpoint, best_checkpoint, intact_checkpoints
from groundup.runs.folder import RunFolder
from groundup.tokenizer import Tokenizer, load_tokenizer


@dataclass(frozen=True)
class LoadedRun:
    """A model with its tokenizer and the story of its training."""

    model: GPT
    tokenizer: Tokenizer
    step: int
    tables: dict[str, Any]
    notices: list[str]


def load(path: str | Path, checkpoint: str = "best", device: str = "cpu") -> LoadedRun:
    """Return the model of a run folder, in evaluation mode.

    `checkpoint` is "best" (lowest validation loss), "latest" or a step number. Every file is
    checked against its manifest first; a damaged checkpoint is passed over, with a notice.
    """
    folder = RunFolder(Path(path))
    tables = folder.read()
    config = build(GPTConfig, tables["model"])
    intact, notices = intact_checkpoints(folder.checkpoints)
    chosen = _choose(folder, intact, checkpoint, notices)
    with torch.device("meta"):
        model = GPT(config)
    tensors = chosen.model_tensors()
    check_parameters(model, tensors, chosen.path)
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    model.to(device)
    tokenizer = load_tokenizer(folder.tokenizer)
    if tokenizer.vocab_size > config.vocab_size:
        raise RunError(
            f"{folder.tokenizer} has {tokenizer.vocab_size} tokens, but the model was made for "
            f"{config.vocab_size}; restore the run's own tokenizer.json"
        )
    return LoadedRun(model.eval(), tokenizer, chosen.step, tables, notices)


def _choose(
    folder: RunFolder, intact: list[Checkpoint], which: str, notices: list[str]
) -> Checkpoint:
    if which not in ("best", "latest") and not which.isdigit():
        raise UsageError(f"checkpoint '{which}': expected best, latest or a step number")
    if not intact:
        reason = f"none is intact: {'; '.join(notices)}" if notices else "none was saved yet"
        raise RunError(f"{folder.path} has no checkpoint to load ({reason}); train it first")
    if which.isdigit():
        for found in intact:
            if found.step == int(which):
                return found
        steps = ", ".join(str(c.step) for c in reversed(intact))
        raise UsageError(f"{folder.path} has no checkpoint of step {which}; it has {steps}")
    best = best_checkpoint(intact) if which == "best" else None
    return best or intact[0]


@torch.no_grad()
def fill(model: GPT, tensors: dict[str, Tensor], source: Path) -> None:
    """Copy `tensors` into the parameters of `model`, which stay where they are."""
    check_parameters(model, tensors, source)
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])


def check_parameters(model: GPT, tensors: dict[str, Tensor], source: Path) -> None:
    """Raise `RunError` naming every tensor of `source` that is missing, extra or misshapen."""
    parameters = dict(model.named_parameters())
    problems = [f"missing {name}" for name in parameters.keys() - tensors.keys()]
    problems += [f"unexpected {name}" for name in tensors.keys() - parameters.keys()]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}"
        for name, parameter in parameters.items()
        if name in tensors and tensors[name].shape != parameter.shape
    ]
    if problems:
        raise RunError(f"{source} does not fit run.toml's [model]: {'; '.join(sorted(problems))}")
