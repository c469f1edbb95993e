"""What `benchmarks.startup` has done in processes of their own: make a run, talk with one."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from groundup import GPT, CharTokenizer, GPTConfig, load, preset
from groundup.base.files import write_text
from groundup.config import as_table
from groundup.generate import SamplingConfig, generate_tokens
from groundup.runs import RunFolder
from groundup.runs.checkpoint import save_checkpoint
from groundup.runs.load import LoadedRun
from groundup.runs.manifest import Manifest

ALPHABET = "".join(map(chr, range(32, 127)))
"""Without an end-of-text token, so that a model writes as much as it is asked for."""
PASSAGE = """
First, take the large bowl from the shelf. Second, put two cups of flour into the large bowl.
Third, break three eggs into the small bowl. Fourth, pour the small bowl into the large bowl.
Fifth, stir the large bowl for ten minutes. Sixth, put the large bowl into the oven.
"""
STORY = "It was late in the autumn, and the road to the village was covered with"


def make(path: str, shape: dict[str, Any]) -> dict[str, Any]:
    """Write a run folder of characters and random weights; return the sizes of what it needs."""
    named = shape.pop("preset", None)
    config = preset(named) if named else GPTConfig(vocab_size=len(ALPHABET), **shape)
    tokenizer, folder = CharTokenizer(ALPHABET), RunFolder(Path(path))
    torch.manual_seed(0)
    tensors = dict(GPT(config).named_parameters())
    write_text(folder.tokenizer, tokenizer.to_json())
    data = {"tokenizer_fingerprint": tokenizer.fingerprint}
    folder.write(Manifest.of({"model": as_table(config), "data": data}))
    save_checkpoint(folder.checkpoints, 0, tensors, {}, {"step": 0})
    count = sum(tensor.numel() for tensor in tensors.values())
    in_cache = 2 * config.n_layers * config.n_kv_heads * config.head_dim
    return {
        "parameters": count,
        "weights_mib": 4 * count / 2**20,
        "cache_mib_per_token": 4 * in_cache / 2**20,
    }


def talk(path: str, n_tokens: int, rounds: int) -> dict[str, Any]:
    """Write both ways in turns, a text that repeats itself and one that does not."""
    run = load(path)
    repeated = PASSAGE * 2 + PASSAGE[:60]
    texts = {
        "repeats, greedy": (repeated, SamplingConfig(max_tokens=n_tokens, temperature=0.0)),
        "repeats, drawn at temperature 0.8": (
            repeated,
            SamplingConfig(max_tokens=n_tokens, seed=1),
        ),
        "does not": (STORY, SamplingConfig(max_tokens=n_tokens, temperature=1.0, seed=1)),
    }
    return {
        "run": Path(path).name,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "tokens": n_tokens,
        "texts": {name: timed(run, *text, rounds) for name, text in texts.items()},
    }


def timed(run: LoadedRun, prompt: str, sampling: SamplingConfig, rounds: int) -> dict[str, Any]:
    """Return the seconds of each round both ways, and whether they wrote the same."""
    ids = run.tokenizer.encode(prompt)
    seconds: dict[str, list[float]] = {"plain": [], "ahead": []}
    written, readings = {}, 0

    def write(way: str) -> None:
        steps = generate_tokens(run.model, [ids], sampling, lookup=way == "ahead")
        written[way] = [token for (token,) in steps]

    def count(module: object, inputs: object, output: object) -> None:
        nonlocal readings
        readings += 1

    for _ in range(rounds):
        for way in seconds:
            begun = time.perf_counter()
            write(way)
            seconds[way].append(time.perf_counter() - begun)
    # Counted apart: a model with a hook is not written with as quickly.
    with run.model.token_embedding.register_forward_hook(count):
        write("ahead")
    same = written["plain"] == written["ahead"]
    assert same or sampling.temperature > 0
    return {**seconds, "prompt_tokens": len(ids), "readings": readings, "same": same}


def main() -> None:
    job = json.loads(sys.argv[1])
    if "make" in job:
        print(json.dumps(make(job["make"], job["shape"])))
    else:
        print(json.dumps(talk(job["talk"], job["tokens"], job["rounds"])))


if __name__ == "__main__":
    main()
