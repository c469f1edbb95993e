"""A turn of transformers with peft: the same steps, as its users write them by hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.beside.turns import ALPHA, RANK, RATES, folder_of, speed_of
from benchmarks.turns import Record

PAD = 0
"""What batches are padded with."""
BETAS, CLIP = (0.9, 0.99), 1.0


def begin(job: Record) -> None:
    """Set the process up as ours."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(job["threads"])


def adapted(model: Any, job: Record, task: str, others: Mapping[str, Tensor] | None = None) -> Any:
    """Return the model with our adapters and `others` of its tensors, where adapters learn."""
    if job["method"] == "full":
        return model
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    how = LoraConfig(
        task_type=task, r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear"
    )
    made = get_peft_model(model, how)
    tensors = load_file(folder_of(job) / "adapter" / "adapter_model.safetensors")
    loaded: Any = set_peft_model_state_dict(made, tensors | dict(others or {}))
    assert not loaded.unexpected_keys, f"peft has no such tensors: {loaded.unexpected_keys[:3]}"
    return made


def trained(model: Any, job: Record, loss_of: Callable[[int], Tensor], tokens: list[int]) -> Record:
    """Take every step; return the speed after the untimed ones, the losses and the peak memory.

    `loss_of` returns the mean loss (nats) of a step's batch, `tokens` are those of each, without
    padding.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        learning, RATES[job["method"]], BETAS, weight_decay=0.0, fused=True
    )
    model.train()
    ticks, losses = [], []
    for step in range(job["steps"]):
        with torch.autocast("cpu", torch.bfloat16, enabled=job["precision"] == "bf16"):
            loss = loss_of(step)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        ticks.append(time.perf_counter())
    return speed_of(ticks, losses, tokens)
