"""An assistant that is made within seconds, of a tiny base that has a chat template or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from groundup import GPT, ByteTokenizer, GPTConfig, save
from groundup.finetune.assistant.request import InstructRequest
from groundup.tokenizer import Tokenizer
from groundup.train import TrainRun
from tests.data.dialoguing import said
from tests.data.labelling import jsonl
from tests.finetune.asking import HERE, asked_of
from tests.finetune.instructing import carry_out

CONFIG = GPTConfig(vocab_size=257, context_length=128, emb_dim=16, n_heads=2, n_layers=2)
LLAMA: dict[str, Any] = {
    "norm": "rmsnorm", "position": "rope", "feed_forward": "swiglu", "bias": False,
    "qkv_bias": False, "tie_embeddings": False,
}  # fmt: skip
SHORT: dict[str, Any] = {**HERE, "batch_size": 2, "learning_rate": 0.01, "sample_tokens": 4}
TURNS = """\
{{- bos_token }}
{%- for m in messages %}
{{- '<|' + m.role + '|>' + m.content + eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}
"""
"""A template of somebody else's: it names what begins and what ends."""


def with_base(
    folder: Path,
    name: str = "base",
    tokenizer: Tokenizer | None = None,
    *,
    template: str | None = None,
    generation: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Save a random model as the run `name` in `folder`; return its path."""
    tokenizer = tokenizer or ByteTokenizer()
    torch.manual_seed(1)
    model = GPT(CONFIG.replace(**{"vocab_size": tokenizer.vocab_size, **changes}))
    return save(
        model, tokenizer, folder / name, chat_template=template, generation=generation or {}
    )


def with_dialogues(folder: Path, n: int = 40) -> Path:
    """Write questions with a reply each, and some with two; return the file's path."""
    records = [
        {"messages": said(*[f"Double {k}.", str(2 * k)] * (1 + (k % 4 == 0)))} for k in range(n)
    ]
    path = folder / "dialogues.jsonl"
    path.write_text(jsonl(*records))
    return path


def request(run: Path, base: str = "base", **settings: Any) -> InstructRequest:
    """Return what makes the assistant `run` of the base beside it, and of the dialogues there."""
    records = str(run.parent / "dialogues.jsonl")
    return asked_of(run, records, base, **{**SHORT, "steps": 4, **settings})


def train(run: Path, base: str = "base", **settings: Any) -> TrainRun:
    """Make an assistant in the folder `run`."""
    return carry_out(request(run, base, **settings))


def stored(path: Path) -> Any:
    """Return what a file of JSON holds."""
    return json.loads(path.read_text(encoding="utf-8"))
