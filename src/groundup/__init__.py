"""GPT-like language models from the ground up.

    GPT              a model: GPT(preset("nano")), GPT(GPTConfig(emb_dim=384, n_heads=6))
    GPTConfig        the numbers that determine every tensor of a model
    Parts            the tables of parts that GPT(config, parts=...) and load(run, parts=...) take
    PARTS            groundup's own: replace(PARTS, norms={**PARTS.norms, "mine": MyNorm}) adds one
    TrainConfig      everything else that determines a training
    preset           the GPTConfig of a named model, with some fields changed
    load             a run folder, back to its model and tokenizer
    save             a model and its tokenizer, as a run folder
    BPETokenizer     byte-pair encoding: BPETokenizer.train([text], vocab_size=1000)
    ByteTokenizer    one token for each byte
    CharTokenizer    one token for each character: CharTokenizer.train([text])
    load_tokenizer   a tokenizer.json, back to its tokenizer
    GroundupError    what goes wrong, in one line that says what to do
    UsageError       a request that cannot be carried out as it was written

Verbs live in the rooms named after them:

    from groundup.train import train
    from groundup.generate import generate

Each name is imported on first use, so that `import groundup` is instant.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from groundup.base.lazy import on_first_use

if TYPE_CHECKING:
    from groundup.base.errors import GroundupError, UsageError
    from groundup.config import GPTConfig, TrainConfig, preset
    from groundup.model import GPT, PARTS, Parts
    from groundup.runs.load import load
    from groundup.runs.save import save
    from groundup.tokenizer import BPETokenizer, ByteTokenizer, CharTokenizer, load_tokenizer

__version__ = "0.1.0"

__all__ = [
    "GPT",
    "PARTS",
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "GPTConfig",
    "GroundupError",
    "Parts",
    "TrainConfig",
    "UsageError",
    "load",
    "load_tokenizer",
    "preset",
    "save",
]

_MODULES = {
    "GPT": "model",
    "GPTConfig": "config",
    "Parts": "model",
    "PARTS": "model",
    "TrainConfig": "config",
    "preset": "config",
    "load": "runs.load",
    "save": "runs.save",
    "BPETokenizer": "tokenizer",
    "ByteTokenizer": "tokenizer",
    "CharTokenizer": "tokenizer",
    "load_tokenizer": "tokenizer",
    "GroundupError": "base.errors",
    "UsageError": "base.errors",
}
_public = on_first_use("groundup", _MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name, or a room such as groundup.train, when it is first asked for."""
    if name not in _MODULES and not name.startswith("_") and find_spec(f"groundup.{name}"):
        return importlib.import_module(f"groundup.{name}")
    return _public(name)


def __dir__() -> list[str]:
    return sorted(["__version__", *__all__])
