"""A model of ours as a GGUF file, written tensor by tensor."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from groundup.base.errors import RunError, UsageError, nearest
from groundup.base.files import atomic_writer
from groundup.config import GPTConfig
from groundup.weights.equivalence import differences
from groundup.weights.gguf.architectures import ABSENT, ARCHITECTURES
from groundup.weights.gguf.blocks import PLAIN, TYPES, encoded, library
from groundup.weights.gguf.header import ALIGNMENT, ARRAY, MAGIC, STRING
from groundup.weights.gguf.keys import Metadata
from groundup.weights.gguf.layout import Piece, layout
from groundup.weights.gguf.metadata import GELU, metadata_of, read_config
from groundup.weights.gguf.rope import factor_tensors
from groundup.weights.gguf.special import TEMPLATE, written_template
from groundup.weights.gguf.tokenizer_write import tokenizer_metadata
from groundup.weights.pretrained import Exported

KINDS = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9}
"""What can be written, and llama.cpp's number for a file of it."""

VERSION = 3
UNSIGNED, SIGNED, REAL, BOOL = 4, 5, 6, 7
"""GGUF's types of the numbers written here, 32 bits each, and of truth values."""
QUANTIZATION_VERSION = 2

EIGHT_BITS = ("token_embd.weight", "output.weight")
"""Where four or five bits would cost most: these are stored in eight, as llama.cpp does."""

BY_TANH = (
    "llama.cpp computes GELU by tanh where this model has the exact one: what comes out differs by "
    "up to 0.0005"
)

ALWAYS_F32 = ("position_embd.weight", "ffn_gate_inp.weight")
"""What llama.cpp wants in F32, besides whatever has one dimension."""


def write_gguf(model: Exported, file: Path, kind: str) -> list[str]:
    """Write `model` to `file` for llama.cpp and return remarks for the user.

    `kind` is one of `KINDS`. One tensor is in memory at a time, a quantised one in pieces. A shape
    of model that llama.cpp does not have is a RunError, such a tokenizer a TokenizerError.
    """
    if kind not in KINDS:
        raise UsageError(f"GGUF type '{kind}': {nearest(kind, KINDS)}")
    if kind not in PLAIN:
        library()
    architecture, numbers = architecture_of(model.config, model.family)
    words, notices = tokenizer_metadata(model.tokenizer, model.config.vocab_size, model.generation)
    metadata: dict[str, Any] = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": model.name,
        "general.file_type": KINDS[kind],
        **({} if kind in PLAIN else {"general.quantization_version": QUANTIZATION_VERSION}),
        **numbers,
        **words,
        **({TEMPLATE: written_template(model.chat_template, words)} if model.chat_template else {}),
    }
    tensors = list(_tensors_to_write(architecture, model, kind))
    with atomic_writer(file) as out:
        _write(out, metadata, tensors)
    return notices + _f16_notice(tensors, kind) + ([BY_TANH] if GELU in numbers else [])


def architecture_of(config: GPTConfig, family: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return llama.cpp's architecture for a model, and the metadata that describe it.

    One fits where reading the metadata back gives the same model; `family`, which the model came
    from, comes first, unless its factors are in the weights now. Where none does, the RunError says
    in what the nearest differs.
    """

    def comes_later(name: str) -> bool:
        return name != family or ARCHITECTURES[name].folds is not None

    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    why = ""
    for name in sorted(ARCHITECTURES, key=comes_later):
        metadata = metadata_of(name, config)
        has_factors = ARCHITECTURES[name].longrope or config.rope_scaling != "longrope"
        factors = factor_tensors(config) if has_factors else {}
        try:
            shapes = {key: tensor.shape for key, tensor in layout(name, config).items()}
            back = read_config(name, Metadata(Path("GGUF"), name, metadata), shapes, factors)
        except RunError as error:
            why = str(error)
            continue
        found[name] = differences(config, back)
        if not found[name]:
            return name, metadata
    if not found:
        raise RunError(
            f"llama.cpp has no architecture for {_called(config)}: {why}; export it with --format "
            "hf or safetensors"
        )
    nearest_name = min(found, key=lambda name: len(found[name]))
    apart = ", ".join(
        f"{field} = {has!r}, not {ours!r}"[:200]
        for field, (ours, has) in found[nearest_name].items()
    )
    raise RunError(
        f"llama.cpp has no architecture for {_called(config)}: the nearest, {nearest_name}, has "
        f"{apart}; "
        "export it with --format hf or safetensors"
    )


def _called(config: GPTConfig) -> str:
    """Return the name of a kind of model that llama.cpp lacks, where it is one."""
    for name, fields in ABSENT.items():
        if all(getattr(config, field) == value for field, value in fields.items()):
            return name
    return "this model"


class TensorToWrite(NamedTuple):
    """A tensor of the file: its values come from some of ours."""

    name: str
    shape: tuple[int, ...]
    kind: str
    values: Callable[[], Iterator[Tensor]]

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return TYPES[self.kind].bytes_of(math.prod(self.shape))


def _tensors_to_write(architecture: str, model: Exported, kind: str) -> Iterator[TensorToWrite]:
    for name, (shape, pieces) in layout(architecture, model.config).items():
        read = partial(_pieces, model, pieces)
        yield TensorToWrite(name, shape, _kind_of(name, shape, kind), read)
    for name, factors in factor_tensors(model.config).items():
        values = torch.tensor(factors)
        yield TensorToWrite(name, tuple(values.shape), "F32", partial(iter, [values]))


def _pieces(model: Exported, pieces: list[Piece]) -> Iterator[Tensor]:
    """Yield one after the other what makes up a tensor: zeros for a bias that the model lacks."""
    for piece in pieces:
        stored = model.tensors.get(piece.name)
        if stored is None:
            yield torch.zeros(piece.shape)
        else:
            yield piece.to_theirs(stored.read().detach().cpu())


def _kind_of(name: str, shape: tuple[int, ...], kind: str) -> str:
    if len(shape) == 1 or name.endswith(ALWAYS_F32):
        return "F32"
    if kind not in PLAIN and name in EIGHT_BITS:
        kind = "Q8_0"
    return "F16" if shape[-1] % TYPES[kind].values else kind


def _f16_notice(tensors: list[TensorToWrite], kind: str) -> list[str]:
    if kind in PLAIN:
        return []
    wide = [tensor.name for tensor in tensors if tensor.kind == "F16"]
    if not wide:
        return []
    block = TYPES[kind].values
    return [f"{len(wide)} tensors are F16: their rows are no multiple of {block} ({wide[0]} …)"]


def _write(out: IO[bytes], metadata: dict[str, Any], tensors: list[TensorToWrite]) -> None:
    """Write the header, then each tensor at its place."""
    out.write(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(metadata)))
    for key, value in metadata.items():
        out.write(_text(key) + _typed(value))
    offset = 0
    for tensor in tensors:
        dimensions = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape[::-1])
        place = struct.pack("<IQ", TYPES[tensor.kind].number, offset)
        out.write(_text(tensor.name) + dimensions + place)
        offset += tensor.size + -tensor.size % ALIGNMENT
    out.write(bytes(-out.tell() % ALIGNMENT))
    for tensor in tensors:
        for part in tensor.values():
            for piece in encoded(part, tensor.kind):
                out.write(piece.data)
        out.write(bytes(-tensor.size % ALIGNMENT))


def _text(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def _typed(value: Any) -> bytes:
    """Return a value of the metadata with its type before it."""
    if isinstance(value, list):
        number, write = _type(value[0] if value else "")
        if number == UNSIGNED:  # in lists, llama.cpp looks for signed ones
            number, write = SIGNED, struct.Struct("<i").pack
        items = b"".join([write(item) for item in value])
        return struct.pack("<IIQ", ARRAY, number, len(value)) + items
    number, write = _type(value)
    return struct.pack("<I", number) + write(value)


def _type(value: Any) -> tuple[int, Callable[[Any], bytes]]:
    """Return GGUF's number for the type of a value, and what writes one."""
    match value:
        case str():
            return STRING, _text
        case bool():
            return BOOL, struct.Struct("<?").pack
        case int():
            return UNSIGNED, struct.Struct("<I").pack
        case _:
            return REAL, struct.Struct("<f").pack
