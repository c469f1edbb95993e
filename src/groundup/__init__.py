"""GPT-like language models from the ground up.

What most programs need is here, imported on first use so that `import groundup` is instant; the
verbs live in the rooms named after them: `from groundup.train import train`,
`from groundup.generate import generate`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from groundup.base.errors import GroundupError as GroundupError
    from groundup.base.errors import UsageError as UsageError
    from groundup.config import GPTConfig as GPTConfig
    from groundup.config import TrainConfig as TrainConfig
    from groundup.config import preset as preset
    from groundup.model import GPT as GPT
    from groundup.runs.load import load as load
    from groundup.tokenizer import BPETokenizer as BPETokenizer
    from groundup.tokenizer import ByteTokenizer as ByteTokenizer
    from groundup.tokenizer import CharTokenizer as CharTokenizer
    from groundup.tokenizer import load_tokenizer as load_tokenizer

__version__ = "0.1.0"

_ROOMS = {
    "GPT": "model",
    "GPTConfig": "config",
    "TrainConfig": "config",
    "preset": "config",
    "load": "runs.load",
    "BPETokenizer": "tokenizer",
    "ByteTokenizer": "tokenizer",
    "CharTokenizer": "tokenizer",
    "load_tokenizer": "tokenizer",
    "GroundupError": "base.errors",
    "UsageError": "base.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'groundup' has no attribute '{name}'")
    return getattr(importlib.import_module(f"groundup.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(["__version__", *_ROOMS])
