"""A classifier that learns within seconds: whether a line is of As or of Bs.

`python -m tests.finetune.making FOLDER METHOD LAYERS STEPS` trains it on the base beside it.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from groundup import GPT, ByteTokenizer, GPTConfig, TrainConfig, save
from groundup.config import build
from groundup.finetune.classifier.request import ClassifyRequest
from groundup.finetune.classifier.run import ClassifyRun
from groundup.finetune.settings import ClassifierSettings, training_defaults
from groundup.train import ConsoleScreen, Recorder, TrainRun, drive
from tests.finetune.asking import HERE

CONFIG = GPTConfig(
    vocab_size=257, context_length=24, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.1
)
SHORT: dict[str, Any] = {**HERE, "batch_size": 8, "learning_rate": 0.01, "save_every": 5}


def with_base(folder: Path, **changes: Any) -> Path:
    torch.manual_seed(1)
    save(GPT(CONFIG.replace(**changes)), ByteTokenizer(), folder / "base")
    return folder


def with_records(folder: Path, n: int = 200) -> Path:
    """Write lines of 3 to 30 letters, of which three in four are the label's."""
    chance = random.Random(1)
    lines = ["label,text"]
    for number in range(n):
        label = "ab"[number % 3 == 0]
        length = chance.randint(3, 30)
        letters = (
            label if chance.random() < 0.75 else chance.choice("abcd") for _ in range(length)
        )
        lines.append(f"{label},{''.join(letters)}{number}")
    (folder / "records.csv").write_text("\n".join(lines) + "\n")
    return folder


def request(run: Path, layers: str = "all", **settings: Any) -> ClassifyRequest:
    folder = run.parent
    names = ("pooling", "balance", "max_length")
    own = {name: settings.pop(name) for name in names if name in settings}
    return ClassifyRequest(
        base=folder / "base",
        records=(str(folder / "records.csv"),),
        classifier=ClassifierSettings(layers=layers, **own),
        train=build(TrainConfig, {**training_defaults("all"), **SHORT, "steps": 20, **settings}),
        run=run.name,
        runs_folder=folder,
        data_folder=folder / "data",
    )


def train(run: Path, layers: str = "all", **settings: Any) -> TrainRun:
    """Train in the folder `run`, on the base and the records beside it."""
    asked = request(run, layers, **settings)
    asked.check()
    screen = ConsoleScreen(Console(quiet=True))
    return drive(ClassifyRun(asked), Recorder(asked.folder), screen)


if __name__ == "__main__":
    train(Path(sys.argv[1]), sys.argv[3], method=sys.argv[2], steps=int(sys.argv[4]))
