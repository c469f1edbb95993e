"""A folder of Hugging Face's, checked, as a config and tensors of ours that are read later."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from groundup.base.errors import RunError
from groundup.runs.manifest import SourceTable
from groundup.runs.tensor_file import Stored
from groundup.weights.hf.classifier import read_head, reading_notices
from groundup.weights.hf.companions import read_template, read_tokenizer
from groundup.weights.hf.families import family_of
from groundup.weights.hf.generation_config import read_generation
from groundup.weights.hf.multimodal import text_config, text_tensors
from groundup.weights.hf.mxfp4 import unpacked
from groundup.weights.hf.settings import Settings
from groundup.weights.hf.weight_files import Tensors, read_weights
from groundup.weights.hf.windows import GLOBAL
from groundup.weights.json_object import read_object
from groundup.weights.longrope import longrope_notice
from groundup.weights.pretrained import Pretrained
from groundup.weights.tensor_names import to_ours

CONFIG = "config.json"
LARGEST_CONFIG = 4 << 20
_LICENCE = re.compile(r"^license:[ \t]*([\w.-]+)[ \t]*$", re.MULTILINE)


def read_hf(folder: Path, trust_pickle: bool = False, context: int | None = None) -> Pretrained:
    """Read a model: config.json, weights in one file or more, and the files beside them.

    Weights are safetensors; with `trust_pickle` also pickles, where there are no others. `context`
    is the one that is wanted, where longrope leaves the choice.

    Raises `RunError` naming the file, the field and the reason for what is damaged, unknown or
    cannot be expressed, and all tensors at once that do not fit.
    """
    return read_hf_weights(folder, lambda: read_weights(folder, trust_pickle), context)


def read_hf_weights(
    folder: Path, weights: Callable[[], tuple[Tensors, Path]], context: int | None = None
) -> Pretrained:
    """Read a model with these `weights`, and the file that they are in; all else is in `folder`.

    They are asked for once its config and its tokenizer are read: fetching them may take long.
    """
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder}: no {CONFIG} in it; give a model's folder of Hugging Face's")
    whole = read_object(folder / CONFIG, LARGEST_CONFIG)
    values = text_config(whole)
    model_type, family = family_of(values, folder / CONFIG)
    config = family.read(values, folder / CONFIG, context)
    tokenizer, more = read_tokenizer(folder, config.vocab_size)
    found, source = weights()
    notices = []
    if config.rope_scaling == "longrope":
        most = Settings(values, family.defaults, folder / CONFIG)["max_position_embeddings"]
        table = values.get("rope_parameters") or values["rope_scaling"]
        short = table.get(GLOBAL, table)["short_factor"]
        notices += longrope_notice(config, short, most, context, folder)
    if values is not whole:
        found, n_others = text_tensors(found)
        notices.append(f"{source}: {n_others} tensors are not of its language model: left out")
    found = unpacked(found, source)
    head, told = read_head(values, found, config, folder)
    if head is not None:  # no file has an output head, which nothing would use
        config = config.replace(tie_embeddings=True, head_bias=False)
    tensors = to_ours(found, config, family.names, source)
    tensors, folded = family.folded(values, folder / CONFIG, config, tensors)
    notices += [*folded, *more]
    if any(stored.dtype == torch.float64 for stored in tensors.values()):
        notices.append(f"{source}: 64-bit numbers are kept in 32 bits")
    if head is not None:
        notices += [*told, *reading_notices(values, tokenizer, folder)]
    generation, odd = read_generation(folder, values, tokenizer, config.vocab_size)
    return Pretrained(
        config=config,
        tensors={name: narrowed(stored) for name, stored in tensors.items()},
        tokenizer=tokenizer,
        chat_template=read_template(folder),
        generation=generation,
        source=SourceTable(
            format="hf",
            path=str(folder),
            family=model_type,
            name=folder.resolve().name,
            licence=_licence(folder),
        ),
        notices=notices + odd,
        head=head and replace(head, weight=narrowed(head.weight)),
    )


def narrowed(stored: Stored) -> Stored:
    """Return a tensor in 32 bits where it has 64."""
    if stored.dtype != torch.float64:
        return stored
    return Stored(stored.shape, torch.float32, lambda: stored.read().float())


def _licence(folder: Path) -> str | None:
    """Return the licence that the front matter of a model card names, if any."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    with card.open("rb") as file:
        start = file.read(1 << 14).decode("utf-8", "replace")
    matter = start.split("---")[1] if start.startswith("---") else ""
    found = _LICENCE.search(matter)
    return found[1] if found else None
