"""One turn of transformers with peft: the same steps, as its users write them by hand."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.classifier.cells import answer
from benchmarks.classifier.speed import ALPHA, RANK, RATES, speed_of
from benchmarks.turns import Record

PAD = 0
"""What our batches are padded with; no text ends in it."""
BETAS, CLIP = (0.9, 0.99), 1.0


def result(job: Record) -> Record:
    """Train; return the speed after the untimed steps, the losses and the peak memory."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(job["threads"])
    folder = Path(job["work"]) / "speed" / job["name"]
    start = np.load(folder / "start.npz")
    model = model_of(job, folder, torch.from_numpy(start["head"]))
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        learning, RATES[job["method"]], BETAS, weight_decay=0.0, fused=True
    )
    model.train()
    ticks, losses, tokens = [], [], []
    for step in range(job["steps"]):
        ids, labels = (torch.from_numpy(start[f"{name}-{step}"]) for name in ("tokens", "labels"))
        with torch.autocast("cpu", torch.bfloat16, enabled=job["precision"] == "bf16"):
            loss = loss_of(model, ids, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        ticks.append(time.perf_counter())
        tokens.append(int(start[f"lengths-{step}"].sum()))
    return speed_of(ticks, losses, tokens)


def loss_of(model: nn.Module, ids: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy (nats); the model finds the last token before the padding."""
    return F.cross_entropy(model(input_ids=ids, use_cache=False).logits.float(), labels)


def model_of(job: Record, folder: Path, head: Tensor) -> nn.Module:
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
    if job["method"] == "full":
        return model
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    # Of a classifier of sequences peft lets the head learn, too; all-linear leaves it as it is.
    how = LoraConfig(
        task_type="SEQ_CLS", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear"
    )
    adapted = get_peft_model(model, how)
    tensors = load_file(folder / "adapter" / "adapter_model.safetensors")
    loaded: Any = set_peft_model_state_dict(
        adapted, tensors | {"base_model.model.score.weight": head}
    )
    assert not loaded.unexpected_keys, f"peft has no such tensors: {loaded.unexpected_keys[:3]}"
    return adapted


if __name__ == "__main__":
    answer(result)
