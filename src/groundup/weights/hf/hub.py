"""Fetching a model by its name on the Hugging Face hub: the one thing here that needs a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from groundup.base.errors import RunError, TokenizerError, UsageError
from groundup.base.file_names import CHAT_TEMPLATE, TOKENIZER, WEIGHTS
from groundup.weights.early_checks import HUB_NAME
from groundup.weights.hf.byte_level import MERGES, VOCABULARY
from groundup.weights.hf.read import read_hf_weights
from groundup.weights.hf.weight_files import Tensors, read_weights
from groundup.weights.pretrained import Pretrained

BESIDE_WEIGHTS = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    CHAT_TEMPLATE,
    VOCABULARY,
    MERGES,
    "README.md",
)
WEIGHT_FILES = (WEIGHTS, "model-*-of-*.safetensors")


def read_hub(name: str, has_tokenizer: bool = True, context: int | None = None) -> Pretrained:
    """Read a model of the hub, under its name there and with the commit that was fetched.

    Its weights are fetched last: what is refused without them is refused in seconds. See `read_hf`.
    """
    folder, (owned, _, _) = fetch_hub(name, BESIDE_WEIGHTS), name.partition("@")
    if not has_tokenizer and not any((folder / one).is_file() for one in (TOKENIZER, VOCABULARY)):
        raise TokenizerError(
            f"{name} has no {TOKENIZER}; give one with --tokenizer: a tokenizer.json, or gpt2"
        )

    def weights() -> tuple[Tensors, Path]:
        fetch_hub(f"{owned}@{folder.name}", WEIGHT_FILES)
        return read_weights(folder, trust_pickle=False)

    found = read_hf_weights(folder, weights, context)
    return replace(found, source=replace(found.source, name=owned, revision=folder.name))


def fetch_hub(name: str, files: Sequence[str] = (*BESIDE_WEIGHTS, *WEIGHT_FILES)) -> Path:
    """Return the folder of a model of the hub, fetching those of `files` that are not there yet.

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
        whole = partial(snapshot_download, allow_patterns=list(files), max_workers=1)
        return Path(whole(found[1], revision=found[2]))
    except Exception as error:  # of the network's many libraries, each with its own errors
        reason = " ".join(str(error).split()).partition(". ")[0][:200] or type(error).__name__
        raise RunError(
            f"{name}: could not be fetched from the hub ({reason}); check the name and the "
            "connection, or fetch it elsewhere and give its folder"
        ) from error
