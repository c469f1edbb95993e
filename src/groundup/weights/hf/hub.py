"""Fetching a model by its name on the Hugging Face hub: the one thing here that needs a network."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from groundup.base.errors import RunError, UsageError
from groundup.base.file_names import CHAT_TEMPLATE, TOKENIZER, WEIGHTS
from groundup.weights.early_checks import HUB_NAME

FILES = (
    "config.json",
    "generation_config.json",
    WEIGHTS,
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    CHAT_TEMPLATE,
    "vocab.json",
    "merges.txt",
    "README.md",
)


def fetch_hub(name: str) -> Path:
    """Return the folder of a model of the hub, fetching what of it is read here and not there yet.

    It is called as the commit that `name`, or the revision behind its "@", stands for. Raises
    `UsageError` for what is no name or without the package huggingface_hub, and `RunError` for
    what cannot be fetched.
    """
    if not (found := HUB_NAME.fullmatch(name)):
        raise UsageError(
            f"'{name}': expected owner/name or owner/name@revision, such as openai-community/gpt2"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UsageError(
            f"{name}: fetching from the hub needs another package; pip install huggingface_hub"
        ) from None
    try:
        # One file after the other: of those that a kill cuts short, the library keeps nothing.
        whole = partial(snapshot_download, allow_patterns=list(FILES), max_workers=1)
        return Path(whole(found[1], revision=found[2]))
    except Exception as error:  # of the network's many libraries, each with its own errors
        reason = " ".join(str(error).split()).partition(". ")[0][:200] or type(error).__name__
        raise RunError(
            f"{name}: could not be fetched from the hub ({reason}); check the name and the "
            "connection, or fetch it elsewhere and give its folder"
        ) from error
