"""What both contestants begin with: batches, head and adapters, written once for the peer."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np

from benchmarks.beside.ours import write_adapters
from benchmarks.beside.turns import folder_of
from benchmarks.cells import answer
from benchmarks.classifier.speed_ours import job_of
from benchmarks.turns import Record


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
    write_adapters(model.stored(), ours.config, job)
    return {"tokens": tokens}


if __name__ == "__main__":
    answer(result)
