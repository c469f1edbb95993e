"""Three parts of one's own: no norm, another activation, a block without shortcuts.

Each makes a small model, trained for a minute after the usual one on the same text: source code
of Python's own library, which is on every machine. Each is loaded again and writes a line of code.
At the end stands what they are worth, and a page with their curves side by side.

To try a part of your own: write its class below, name it in `MY_PARTS`, and choose that name in
`MODELS`. docs/model.md says what each kind of part is called with.

    python examples/parts.py               four minutes of training
    python examples/parts.py --steps 20    a taste
"""

from __future__ import annotations

import argparse
import ast
import inspect
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groundup import GPT, PARTS, CharTokenizer, GPTConfig, load
from groundup.generate import generate
from groundup.model import FeedForward, PreNormBlock
from groundup.report.compare import compare_runs, write_comparison
from groundup.train import train


class NoNorm(nn.Module):
    """Leave every vector as large as it is."""

    def __init__(self, width: int, eps: float, bias: bool) -> None:
        super().__init__()  # every norm is given these three; this one needs none of them

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`."""
        return x


def squash(x: Tensor) -> Tensor:
    """Return `x` between -1 and 1 (softsign)."""
    return x / (1 + x.abs())


class NoShortcuts(PreNormBlock):
    """The usual block, but each of its two steps replaces what came in, and is not added to it."""

    def forward(self, x: Tensor, cache: Any, rotate: Any) -> Any:
        """Return what the two steps make of `x`; attention needs the other two."""
        x = self.attn(self.attn_norm(x), cache, rotate)
        return self.ffn(self.ffn_norm(x))


# Every part has a table and, there, a name. A config says by these names what a model is made of.
MY_PARTS = replace(
    PARTS,
    norms={**PARTS.norms, "none": NoNorm},
    feed_forwards={**PARTS.feed_forwards, "squash": partial(FeedForward, activation=squash)},
    blocks={**PARTS.blocks, "no_shortcuts": NoShortcuts},
)
MODELS: dict[str, dict[str, Any]] = {
    "usual": {},
    "no-norm": {"norm": "none"},
    "squash": {"feed_forward": "squash"},
    "no-shortcuts": {"norm_order": "no_shortcuts"},
}
SIZE: dict[str, Any] = {"context_length": 64, "emb_dim": 64, "n_heads": 4, "n_layers": 4}


def main() -> None:
    """Train each model, load it again, let it write, and compare them all."""
    parser = argparse.ArgumentParser(description="Train models with parts of one's own.")
    parser.add_argument("--steps", type=int, help="steps of each; a minute each where not given")
    parser.add_argument("--runs", type=Path, default=Path("runs/parts"), help="where they are kept")
    given = parser.parse_args()
    length: dict[str, Any] = {"minutes": 1.0}
    if given.steps:
        length = {
            "steps": given.steps,
            "eval_every": max(1, given.steps // 4),
            "save_every": given.steps,
        }

    text = "".join(map(inspect.getsource, (argparse, ast, logging)))
    tokenizer = CharTokenizer.train([text])
    folders = [given.runs / name for name in MODELS]
    for folder, choice in zip(folders, MODELS.values(), strict=True):
        print(f"\n{folder.name}: {choice or 'groundup as it is'}")
        torch.manual_seed(1)
        config = GPTConfig(vocab_size=tokenizer.vocab_size, **SIZE, **choice)
        model = GPT(config, parts=MY_PARTS)
        train(model, tokenizer, text, run=folder, **length)  # the same call again goes on with it
        run = load(folder, parts=MY_PARTS)
        print(
            f"Written     def {generate(run.model, run.tokenizer, 'def ', max_tokens=60, seed=1)}"
        )

    print()
    for outcome in compare_runs(*folders).outcomes:
        size, loss = f"{outcome.parameters:,} parameters", outcome.final_val_loss
        print(f"{outcome.name:14}{size}, loss {loss:.3f}")
    print(write_comparison(folders, given.runs / "comparison.html"))


if __name__ == "__main__":
    main()
