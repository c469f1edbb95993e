"""One turn of transformers with peft: the same steps, as its users write them by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.beside.peer import PAD, adapted, begin, trained
from benchmarks.beside.turns import folder_of
from benchmarks.cells import answer
from benchmarks.turns import Record


def result(job: Record) -> Record:
    """Train; return the speed after the untimed steps, the losses and the peak memory."""
    begin(job)
    start = np.load(folder_of(job) / "start.npz")
    model = model_of(job, torch.from_numpy(start["head"]))

    def loss_of(step: int) -> Tensor:
        """Return the mean cross entropy; the model finds the last token before the padding."""
        ids, labels = (torch.from_numpy(start[f"{name}-{step}"]) for name in ("tokens", "labels"))
        return F.cross_entropy(model(input_ids=ids, use_cache=False).logits.float(), labels)

    tokens = [int(start[f"lengths-{step}"].sum()) for step in range(job["steps"])]
    return trained(model, job, loss_of, tokens)


def model_of(job: Record, head: Tensor) -> nn.Module:
    """Return the model with our head, and with our adapters where these learn."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        Path(job["work"]) / job["peer"],
        num_labels=len(head),
        pad_token_id=PAD,
        dtype=torch.float32,
        attn_implementation="sdpa",
    )
    model.score.weight = nn.Parameter(head)
    # Of a classifier of sequences peft lets the head learn, too; all-linear leaves it as it is.
    made: nn.Module = adapted(model, job, "SEQ_CLS", {"base_model.model.score.weight": head})
    return made


if __name__ == "__main__":
    answer(result)
