"""A folder of Hugging Face's, checked, as a config and tensors of ours that are read later."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import torch

from groundup.base.errors import RunError, shown
from groundup.base.file_names import WEIGHTS
from groundup.runs.manifest import SourceTable
from groundup.runs.tensor_file import Stored, read_safetensors
from groundup.weights.hf.classifier import read_head, reading_notices
from groundup.weights.hf.companions import read_template, read_tokenizer
from groundup.weights.hf.families import family_of
from groundup.weights.hf.generation_config import read_generation
from groundup.weights.hf.multimodal import text_config, text_tensors
from groundup.weights.hf.mxfp4 import unpacked
from groundup.weights.json_object import read_object
from groundup.weights.pretrained import Pretrained
from groundup.weights.tensor_names import to_ours

CONFIG, INDEX = "config.json", "model.safetensors.index.json"
LARGEST_CONFIG, LARGEST_INDEX = 4 << 20, 16 << 20
_LICENCE = re.compile(r"^license:[ \t]*([\w.-]+)[ \t]*$", re.MULTILINE)


def read_hf(folder: Path) -> Pretrained:
    """Read a model: config.json, safetensors in one file or more, and the files beside them.

    Raises `RunError` naming the file, the field and the reason for what is damaged, unknown or
    cannot be expressed, and all tensors at once that do not fit.
    """
    return read_hf_weights(folder, *_weights(folder))


def read_hf_weights(folder: Path, found: dict[str, Stored], source: Path) -> Pretrained:
    """Read a model whose tensors were `found` in `source`, and all else in `folder`."""
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder}: no {CONFIG} in it; give a model's folder of Hugging Face's")
    whole = read_object(folder / CONFIG, LARGEST_CONFIG)
    values = text_config(whole)
    model_type, family = family_of(values, folder / CONFIG)
    config = family.read(values, folder / CONFIG)
    notices = []
    if values is not whole:
        found, n_others = text_tensors(found)
        notices.append(f"{source}: {n_others} tensors are not of its language model: left out")
    found = unpacked(found, source)
    head, told = read_head(values, found, config, folder)
    if head is not None:  # no file has an output head, which nothing would use
        config = config.replace(tie_embeddings=True)
    tensors = to_ours(found, config, family.names, source)
    tensors, folded = family.folded(values, folder / CONFIG, config, tensors)
    tokenizer, more = read_tokenizer(folder, config.vocab_size)
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


def _weights(folder: Path) -> tuple[dict[str, Stored], Path]:
    """Return every tensor of a folder, and the file to name when something is wrong with them."""
    if (folder / WEIGHTS).is_file():
        return read_safetensors(folder / WEIGHTS), folder / WEIGHTS
    if (folder / INDEX).is_file():
        return _sharded(folder / INDEX), folder / INDEX
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    remedy = (
        f"{pickles[0]} is a pickle, which can run code: convert it with transformers' "
        "save_pretrained, which writes safetensors"
        if pickles
        else f"expected {WEIGHTS}, or {INDEX} and its parts"
    )
    raise RunError(f"{folder}: no weights that can be read; {remedy}")


def _sharded(index: Path) -> dict[str, Stored]:
    """Return the tensors that an index finds in files beside it, and nowhere else."""
    places = read_object(index, LARGEST_INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise RunError(f"{index}: weight_map: expected an object of file names")
    for name, place in places.items():
        if not isinstance(place, str) or not _is_beside(place):
            raise RunError(
                f"{index}: weight_map: {shown(name)} is said to be in {shown(place)}; expected a "
                ".safetensors file in the same folder"
            )
    shards = {place: read_safetensors(index.parent / place) for place in set(places.values())}
    return {name: shards[at][name] for name, at in places.items() if name in shards[at]}


def _is_beside(place: str) -> bool:
    """Whether `place` is the plain name of a safetensors file, on any system."""
    plain = {PurePosixPath(place).name, PureWindowsPath(place).name} == {place}
    return plain and place.endswith(".safetensors") and place.isprintable()


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
