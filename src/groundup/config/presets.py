"""Named models: OpenAI's four GPT-2 sizes, and small ones that a CPU trains in minutes."""

from __future__ import annotations

from typing import Any

from groundup.base.errors import ConfigError, nearest
from groundup.config.gpt import GPTConfig

_GPT2: dict[str, Any] = {
    "vocab_size": 50257,
    "context_length": 1024,
    "qkv_bias": True,
    "tie_embeddings": True,
}
_SMALL: dict[str, Any] = {"vocab_size": 4096, "qkv_bias": False, "tie_embeddings": True}

PRESETS: dict[str, dict[str, Any]] = {
    # Radford et al. 2019, table 2; the released checkpoints' own widths and heads.
    "gpt2-124m": {**_GPT2, "emb_dim": 768, "n_heads": 12, "n_layers": 12},
    "gpt2-355m": {**_GPT2, "emb_dim": 1024, "n_heads": 16, "n_layers": 24},
    "gpt2-774m": {**_GPT2, "emb_dim": 1280, "n_heads": 20, "n_layers": 36},
    "gpt2-1558m": {**_GPT2, "emb_dim": 1600, "n_heads": 25, "n_layers": 48},
    # The same architecture, small; vocab_size follows the tokenizer when one is trained.
    "pico": {**_SMALL, "context_length": 64, "emb_dim": 128, "n_heads": 4, "n_layers": 4},
    "nano": {**_SMALL, "context_length": 128, "emb_dim": 192, "n_heads": 6, "n_layers": 4},
    "micro": {**_SMALL, "context_length": 256, "emb_dim": 384, "n_heads": 6, "n_layers": 6},
    "mini": {**_SMALL, "context_length": 512, "emb_dim": 512, "n_heads": 8, "n_layers": 8},
}


def preset(name: str, **changes: Any) -> GPTConfig:
    """Return the `GPTConfig` of a named model with some fields changed."""
    if name not in PRESETS:
        raise ConfigError(f"unknown preset '{name}'; {nearest(name, PRESETS)}")
    return GPTConfig(**{**PRESETS[name], **changes})
