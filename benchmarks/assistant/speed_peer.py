"""One turn of transformers with peft: the same steps, with the loss of transformers or of trl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.beside.peer import adapted, begin, trained
from benchmarks.beside.turns import folder_of
from benchmarks.cells import answer
from benchmarks.turns import Record


def model_of(job: Record) -> Any:
    """Return the model with our adapters, where these learn, and with trl's head, where asked."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        Path(job["work"]) / job["peer"],
        dtype=torch.float32,
        attn_implementation="sdpa",
    )
    if job["loss"] == "trl":
        from trl.trainer.utils import add_fused_lm_head

        add_fused_lm_head(model)
    return adapted(model, job, "CAUSAL_LM")


def result(job: Record) -> Record:
    """Train; return the speed after the untimed steps, the losses and the peak memory."""
    begin(job)
    start, model = np.load(folder_of(job) / "start.npz"), model_of(job)
    own = {"fused_lm_head": True} if job["loss"] == "trl" else {}

    def loss_of(step: int) -> Tensor:
        """Return the mean over labels that count, of which the model finds the next ones."""
        ids, labels = (torch.from_numpy(start[f"row_{name}-{step}"]) for name in ("ids", "labels"))
        loss: Tensor = model(input_ids=ids, labels=labels, use_cache=False, **own).loss
        return loss

    tokens = [int(start[f"read-{step}"]) for step in range(job["steps"])]
    return trained(model, job, loss_of, tokens)


if __name__ == "__main__":
    answer(result)
