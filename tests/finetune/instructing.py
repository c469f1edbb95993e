"""An assistant that learns within seconds: it says a letter's place in the alphabet.

`python -m tests.finetune.instructing FOLDER METHOD STEPS` trains it on the base beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from groundup import GPT, ByteTokenizer, GPTConfig, save
from groundup.finetune.assistant.request import InstructRequest
from groundup.finetune.replies.run import InstructRun
from groundup.generate.template import CHATML, CHATML_TOKENS
from groundup.tokenizer import with_special_tokens
from groundup.train import ConsoleScreen, Recorder, TrainRun, drive
from tests.finetune.asking import HERE, asked_of

CONFIG = GPTConfig(
    vocab_size=257, context_length=64, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.1
)
SHORT: dict[str, Any] = {**HERE, "batch_size": 4, "learning_rate": 0.01, "save_every": 5}
SHORT |= {"eval_every": 10, "sample_tokens": 4}


def with_base(folder: Path, template: str | None = None, **changes: Any) -> Path:
    """Write a base that knows bytes; with a template, also the special tokens of ChatML."""
    torch.manual_seed(changes.pop("seed", 1))
    generation = changes.pop("generation", {})
    tokenizer = with_special_tokens(ByteTokenizer(), CHATML_TOKENS if template else ())
    config = CONFIG.replace(**{"vocab_size": tokenizer.vocab_size, **changes})
    save(GPT(config), tokenizer, folder / "base", chat_template=template, generation=generation)
    return folder


def with_template(folder: Path) -> Path:
    """Write a base that has been taught ChatML, as an imported one may have been."""
    return with_base(folder, CHATML)


def with_records(folder: Path, n: int = 60) -> Path:
    """Write questions with replies of one to six letters."""
    talks = [
        {"prompt": f"{n} {chr(97 + n % 26)}?", "completion": chr(97 + n % 26) * (1 + n % 6)}
        for n in range(n)
    ]
    write_records(folder / "records.jsonl", talks)
    return folder


def write_records(path: Path, records: Sequence[Any]) -> Path:
    """Write records, a line of JSON each."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def request(run: Path, **settings: Any) -> InstructRequest:
    """Return the request of a run on the base and the records beside it."""
    return asked_of(run, str(run.parent / "records.jsonl"), **{**SHORT, "steps": 20, **settings})


def carry_out(asked: InstructRequest, screen: Any = None, **others: Any) -> TrainRun:
    """Do what was asked for, with some of its fields changed."""
    asked = replace(asked, **others)
    asked.check()
    screen = screen or ConsoleScreen(Console(quiet=True))
    return drive(InstructRun(asked), Recorder(asked.folder), screen)


def train(run: Path, **settings: Any) -> TrainRun:
    """Train in the folder `run`, on the base and the records beside it."""
    return carry_out(request(run, **settings))


if __name__ == "__main__":
    train(Path(sys.argv[1]), method=sys.argv[2], steps=int(sys.argv[3]))
