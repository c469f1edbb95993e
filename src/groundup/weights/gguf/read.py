"""A GGUF file as a model of ours."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from groundup.base.errors import RunError
from groundup.config import GPTConfig, parameter_shapes
from groundup.runs.manifest import SourceTable
from groundup.runs.tensor_check import check_tensors
from groundup.runs.tensor_file import Stored
from groundup.weights.folds import folded
from groundup.weights.gguf.architectures import ARCHITECTURES
from groundup.weights.gguf.blocks import PLAIN, Entry, dtype_of, library, read_values
from groundup.weights.gguf.header import Header
from groundup.weights.gguf.keys import Metadata
from groundup.weights.gguf.layout import (
    FUSED_TENSOR,
    LONG_FACTORS,
    ROPE_FACTORS,
    SHORT_FACTORS,
    Piece,
    TensorLayout,
    layout,
    with_offsets,
)
from groundup.weights.gguf.metadata import read_config, tells_exact_gelu
from groundup.weights.gguf.rope import factor_tensors
from groundup.weights.gguf.split import read_whole_header
from groundup.weights.gguf.tokenizer import read_tokenizer
from groundup.weights.longrope import longrope_notice
from groundup.weights.pretrained import Pretrained

MOST_LAYERS = 512
MOST_EXPERTS = 1 << 16
"""In all layers together; metadata that name more are not those of a real model."""

MOST_FACTORS = 1 << 12


def read_gguf(file: Path, context: int | None = None) -> Pretrained:
    """Return the model in a GGUF file; its tensors are read one at a time, when they are asked for.

    `context` is the one that is wanted, where longrope leaves the choice.
    F32, F16 and BF16 stay as they are, quantised blocks become fp32. What is damaged, unknown,
    missing, extra or misshapen is a one-line RunError; so is a tokenizer that does not fit, as a
    TokenizerError.
    """
    header = read_whole_header(file)
    architecture = _architecture(header)
    metadata = Metadata(file, architecture, header.metadata)
    _check_counts(header, metadata)
    shapes = {name: entry.shape for name, entry in header.tensors.items()}
    config = read_config(architecture, metadata, shapes, _factors(header), context)
    layouts = layout(architecture, config, FUSED_TENSOR in shapes)
    check_tensors(header.tensors, _shapes(config, layouts).items(), file, "its metadata")
    if any(entry.kind not in PLAIN for entry in header.tensors.values()):
        library()
    tensors = _without_zeros(header, config, _tensors(header, layouts))
    tensors, told = _folded(architecture, metadata, config, tensors)
    notice = ARCHITECTURES[architecture].notice
    told += [notice] if notice and not tells_exact_gelu(header.metadata) else []
    if config.rope_scaling == "longrope":
        short, most = _factors(header)[SHORT_FACTORS], metadata.whole("context_length")
        told += longrope_notice(config, short, most, context, file)
    found = read_tokenizer(header, config.vocab_size)
    return Pretrained(
        config=config,
        tensors=tensors,
        tokenizer=found.tokenizer,
        chat_template=found.chat_template,
        generation=found.generation,
        source=_source(header, architecture),
        notices=told + found.notices + _passed_over(metadata.unread()),
        why_no_tokenizer=found.why_none,
    )


def _passed_over(keys: list[str]) -> list[str]:
    named = ", ".join([repr(key)[1:-1] for key in keys[:5]] + ["…"] * (len(keys) > 5))
    return [f"metadata that are not known were passed over: {named}"] if keys else []


def _architecture(header: Header) -> str:
    name = header.metadata.get("general.architecture")
    if not isinstance(name, str):
        raise RunError(f"{header.path}: general.architecture is absent; convert the model again")
    if name not in ARCHITECTURES:
        raise RunError(
            f"{header.path}: architecture {name[:60]!r} is not known, only "
            f"{', '.join(ARCHITECTURES)}; give a model of one of these"
        )
    return name


def _check_counts(header: Header, metadata: Metadata) -> None:
    """Refuse metadata of layers and experts that the file has no room for, before counting them."""
    layers, experts = metadata.whole("block_count"), metadata.whole("expert_count", 0)
    if layers > min(len(header.tensors), MOST_LAYERS):
        raise metadata.error("block_count", f"{layers:,}, more than the tensors are for")
    if layers * experts > MOST_EXPERTS:
        raise metadata.error("expert_count", f"{experts:,}, more than can be")


def _factors(header: Header) -> dict[str, list[float]]:
    """Return the tensors of rope's factors, which the config follows from."""
    factors: dict[str, list[float]] = {}
    for name in (ROPE_FACTORS, SHORT_FACTORS, LONG_FACTORS):
        if (entry := header.tensors.get(name)) is None:
            continue
        if len(entry.shape) != 1 or entry.shape[0] > MOST_FACTORS or entry.kind not in PLAIN:
            raise RunError(f"{header.path}: {name}: {entry.shape} in {entry.kind} is not known")
        factors[name] = read_values(entry, 0, entry.shape[0]).float().tolist()
    return factors


def _shapes(config: GPTConfig, layouts: dict[str, TensorLayout]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that the file must hold."""
    factors = dict.fromkeys(factor_tensors(config), (config.rope_dim // 2,))
    return {name: tensor.shape for name, tensor in layouts.items()} | factors


def _tensors(header: Header, layouts: dict[str, TensorLayout]) -> dict[str, Stored]:
    tensors = {}
    for name, tensor in layouts.items():
        entry = header.tensors[name]
        for piece, start in with_offsets(tensor):
            read = partial(_read, entry, piece, start)
            tensors[piece.name] = Stored(piece.shape, dtype_of(entry.kind), read)
    return tensors


def _read(entry: Entry, piece: Piece, start: int) -> Tensor:
    values = read_values(entry, start, piece.size)
    return piece.to_ours(values.view(piece.shape)).contiguous()


def _without_zeros(
    header: Header, config: GPTConfig, tensors: dict[str, Stored]
) -> dict[str, Stored]:
    """Leave out the biases that the model has not: our export wrote zeros, as llama.cpp wants."""
    wanted = [parameter.name for parameter in parameter_shapes(config)]
    for name in tensors.keys() - set(wanted):
        if torch.count_nonzero(tensors[name].read()):
            raise RunError(f"{header.path}: {name} is not zero, but the model is said to lack it")
    return {name: tensors[name] for name in wanted}


def _folded(
    architecture: str, metadata: Metadata, config: GPTConfig, tensors: dict[str, Stored]
) -> tuple[dict[str, Stored], list[str]]:
    """Return the tensors with the factors in them that the architecture has, and a notice."""
    folds = ARCHITECTURES[architecture].folds
    factors = folds(metadata.scale, config) if folds else {}
    told = ", ".join(f"{name} x {x:.6g}" for name, x in factors.items() if x != 1)
    notices = [f"factors that the metadata name are in the weights now: {told}"] if told else []
    return folded(tensors, factors), notices


def _source(header: Header, architecture: str) -> SourceTable:
    def said(key: str) -> str | None:
        text = header.metadata.get(key)
        return text if isinstance(text, str) and text else None

    return SourceTable(
        format="gguf",
        path=str(header.path),
        family=architecture,
        name=said("general.name"),
        licence=said("general.license"),
    )
