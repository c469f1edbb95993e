"""What both contestants begin with: batches, head and adapters, written once for the peer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.classifier.cells import answer
from benchmarks.classifier.speed import ALPHA, RANK
from benchmarks.classifier.speed_ours import job_of
from benchmarks.turns import Record
from groundup.config.adaptation import is_adapter
from groundup.weights.peft import Adapters, write_peft


def folder_of(job: Record) -> Path:
    """Return where a case's start lies."""
    return Path(job["work"]) / "speed" / job["name"]


def result(job: Record) -> Record:
    """Write the start of a case; return how many tokens each batch has."""
    ours, folder = job_of(job), folder_of(job)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model, source = ours.model(ours.settings.seed), ours.source(ours.settings)
    arrays: dict[str, Any] = {"head": model.head.weight.detach().numpy()}
    size, tokens = ours.settings.batch_size, []
    for step in range(job["steps"]):
        batch = source.rows(step * size, size)
        arrays |= {f"{name}-{step}": array for name, array in batch.arrays.items()}
        tokens.append(batch.n_tokens)
    np.savez(folder / "start.npz", **arrays)
    if job["method"] == "lora":
        adapters = {name: p.detach() for name, p in model.stored().items() if is_adapter(name)}
        kept = Adapters(method="lora", rank=RANK, alpha=ALPHA, tensors=adapters)
        write_peft(kept, ours.config, str(job["peer"]), folder / "adapter")
    return {"tokens": tokens}


if __name__ == "__main__":
    answer(result)
