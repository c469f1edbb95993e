"""The one protocol for Shakespeare figures, outside of everything timed.

The first 90% of the characters train, the last 10% validate. The loss is the mean (nats a
character) over the whole validation split in consecutive windows of 64, or of as many as asked for,
the context beginning anew in each; the first character alone is not predicted.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, TOKENS_AT_ONCE = 64, 8192

Logits = Callable[[Tensor, Tensor], Tensor]
"""(tokens, targets), both (B, T), to logits (B, T, V)."""


def split(text: str) -> tuple[str, str]:
    cut = int(0.9 * len(text))
    return text[:cut], text[cut:]


def character_ids(text: str) -> dict[str, int]:
    return {character: i for i, character in enumerate(sorted(set(text)))}


@torch.inference_mode()
def validation_loss(logits_of: Logits, ids: list[int], window: int = WINDOW) -> float:
    inputs, targets = torch.tensor(ids[:-1]), torch.tensor(ids[1:])
    whole = len(inputs) // window * window
    windows = [part[:whole].unflatten(0, (-1, window)) for part in (inputs, targets)]
    batches = list(zip(*(w.split(TOKENS_AT_ONCE // window) for w in windows), strict=True))
    if whole < len(inputs):
        batches.append((inputs[None, whole:], targets[None, whole:]))
    losses = []
    for tokens, aims in batches:
        logits = logits_of(tokens, aims).flatten(0, 1).double()
        losses.append(F.cross_entropy(logits, aims.flatten(), reduction="sum").item())
    return math.fsum(losses) / len(targets)


def groundup(job: dict[str, Any]) -> tuple[Logits, Callable[[str], list[int]]]:
    from groundup.runs.load import load

    run = load(job["path"], checkpoint="latest")
    return (lambda tokens, targets: run.model(tokens)), run.tokenizer.encode


def nanogpt(job: dict[str, Any]) -> tuple[Logits, Callable[[str], list[int]]]:
    sys.path.insert(0, job["nanogpt"])
    from model import GPT, GPTConfig

    kept = torch.load(job["path"], map_location="cpu", weights_only=True)
    model = GPT(GPTConfig(**kept["model_args"])).eval()
    model.load_state_dict(kept["model"])
    return (lambda tokens, targets: model(tokens, targets)[0]), characters(job)


def plain(job: dict[str, Any]) -> tuple[Logits, Callable[[str], list[int]]]:
    from safetensors.torch import load_file

    from benchmarks.peers.plain_gpt2 import PlainGPT2, Shape

    model = PlainGPT2(Shape(**job["shape"])).eval()
    model.load_state_dict(load_file(job["path"]))
    return (lambda tokens, targets: model(tokens)), characters(job)


def characters(job: dict[str, Any]) -> Callable[[str], list[int]]:
    ids = character_ids(Path(job["text"]).read_text(encoding="utf-8"))
    return lambda text: [ids[character] for character in text]


def main() -> None:
    job = json.loads(sys.argv[1])
    validation = split(Path(job["text"]).read_text(encoding="utf-8"))[1]
    logits_of, encode = {"groundup": groundup, "nanogpt": nanogpt, "plain": plain}[job["kind"]](job)
    ids = encode(validation)
    if len(ids) != len(validation):
        raise SystemExit(f"{len(ids)} ids for {len(validation)} characters: not this protocol")
    loss = validation_loss(logits_of, ids, job.get("window", WINDOW))
    record = {"val_loss": loss, "val_tokens": len(ids)}
    print(json.dumps(record))


if __name__ == "__main__":
    main()
