"""An assistant that learns within seconds which of two replies is better: the one with Ys.

`python -m tests.finetune.making_pairs FOLDER METHOD STEPS OBJECTIVE` trains it on the base beside
it.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from groundup import GPT, ByteTokenizer, GPTConfig, save
from groundup.finetune.assistant.choose import assistant_run
from groundup.finetune.assistant.request import InstructRequest
from groundup.finetune.assistant.run import ChatRun
from groundup.generate import CHATML, CHATML_TOKENS
from groundup.runs import RunFolder
from groundup.tokenizer import with_special_tokens
from groundup.train import ConsoleScreen, Recorder, TrainRun, drive
from groundup.train.listener import Screen
from tests.finetune.asking import HERE, asked_of

TOKENIZER = with_special_tokens(ByteTokenizer(), CHATML_TOKENS)
CONFIG = GPTConfig(
    vocab_size=TOKENIZER.vocab_size, context_length=96, emb_dim=16, n_heads=2, n_layers=2,
    drop_rate=0.1, tie_embeddings=True,
)  # fmt: skip
SHORT: dict[str, Any] = {
    **HERE, "batch_size": 4, "learning_rate": 0.003, "save_every": 5, "sample_tokens": 4,
}  # fmt: skip


def with_base(folder: Path, template: bool = True, **changes: Any) -> Path:
    """Write a model that is not as it was initialised: biases and norms mean something."""
    torch.manual_seed(1)
    gpt = GPT(CONFIG.replace(**changes))
    with torch.no_grad():
        for parameter in gpt.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    save(gpt, TOKENIZER, folder / "base")
    if template:
        RunFolder(folder / "base").write_chat_settings(CHATML, {})
    return folder


def with_pairs(folder: Path, n: int = 50) -> Path:
    """Write questions with a reply that has Ys, which is chosen, and one that has Ns."""
    chance, lines = random.Random(1), list[str]()
    for number in range(n):
        yes, no = ("".join(chance.choices(f"{one}ab", k=chance.randint(4, 12))) for one in "yn")
        record = {"prompt": f"Say {number}?", "chosen": f"y{yes}", "rejected": f"n{no}"}
        lines.append(json.dumps(record))
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def request(run: Path, records: str = "pairs.jsonl", **settings: Any) -> InstructRequest:
    return asked_of(run, str(run.parent / records), **{**SHORT, "steps": 12, **settings})


def made(run: Path, **settings: Any) -> ChatRun:
    """Return the job of a training in the folder `run`."""
    asked = request(run, **settings)
    asked.check()
    return assistant_run(asked)


def train(run: Path, screen: Screen | None = None, **settings: Any) -> TrainRun:
    """Train in the folder `run`, on the base and the records beside it."""
    job = made(run, **settings)
    screen = screen or ConsoleScreen(Console(quiet=True))
    return drive(job, Recorder(RunFolder(run)), screen)


if __name__ == "__main__":
    train(Path(sys.argv[1]), method=sys.argv[2], steps=int(sys.argv[3]), objective=sys.argv[4])
