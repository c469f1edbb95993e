"""Train the plain GPT-2 on characters by a recipe, the way small public scripts do."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.peers.plain_gpt2 import PlainGPT2, Shape, adamw
from benchmarks.protocol import character_ids, split


def learning_rate(step: int, recipe: dict[str, Any]) -> float:
    """Return that of linear warm-up, then cosine decay."""
    peak, low, warm = (recipe[k] for k in ("learning_rate", "min_learning_rate", "warmup_steps"))
    if step < warm:
        return peak * (step + 1) / (warm + 1)
    done = (step - warm) / max(1, recipe["steps"] - warm)
    return low + (peak - low) * (1 + math.cos(math.pi * done)) / 2


def batch(ids: Tensor, size: int, window: int) -> tuple[Tensor, Tensor]:
    starts = torch.randint(len(ids) - window, (size,)).tolist()
    tokens = torch.stack([ids[s : s + window] for s in starts])
    return tokens, torch.stack([ids[s + 1 : s + window + 1] for s in starts])


@torch.no_grad()
def estimate(model: PlainGPT2, ids: Tensor, recipe: dict[str, Any]) -> float:
    sizes = recipe["batch_size"], recipe["shape"]["context_length"]
    losses = [model.loss(*batch(ids, *sizes)).item() for _ in range(recipe["eval_batches"])]
    return sum(losses) / len(losses)


def main() -> None:
    recipe = json.loads(sys.argv[1])
    torch.manual_seed(recipe["seed"])
    text = Path(recipe["text"]).read_text(encoding="utf-8")
    known = character_ids(text)
    train, val = (torch.tensor([known[c] for c in part]) for part in split(text))
    model = PlainGPT2(Shape(**recipe["shape"]))
    optimizer = adamw(model, recipe["learning_rate"], recipe["beta2"])
    for step in range(recipe["steps"]):
        if step % recipe["eval_every"] == 0:
            losses = [f"{estimate(model, ids, recipe):.4f}" for ids in (train, val)]
            print(f"step {step}: train, validation loss {losses}", flush=True)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        loss = model.loss(*batch(train, recipe["batch_size"], recipe["shape"]["context_length"]))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe["grad_clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    save_file(model.state_dict(), recipe["out"])


if __name__ == "__main__":
    main()
