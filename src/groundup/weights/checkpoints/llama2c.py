"""llama2.c (github.com/karpathy/llama2.c): its .bin files of versions 0, 1 and 2, and its ckpt.pt.

Version 0 has no mark: seven numbers, then fp32, and a size that follows from the numbers.
Version 1 has a mark and a header of 256 bytes, and version 2 the same with all but the norms in
8 bits, a scale to each group. Matrices of all layers stand together.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from groundup.base.errors import ConfigError, RunError
from groundup.base.regular import open_regular
from groundup.config import GPTConfig
from groundup.runs.manifest import SourceTable
from groundup.runs.tensor_file import Stored
from groundup.weights.checkpoints.kind import Kind
from groundup.weights.checkpoints.llama2c_tokenizer import GENERATION, read_tokenizer
from groundup.weights.checkpoints.state_dict import StateDict
from groundup.weights.pretrained import Pretrained
from groundup.weights.tensor_names import NEIGHBOURS, Names, to_ours

MAGIC = struct.pack("<I", 0x616B3432)
HEADER = 256
"""Bytes before the numbers from version 1 on."""
MOST_LAYERS, MOST_WIDTH, MOST_TOKENS = 512, 1 << 20, 1 << 24
"""Beyond these, seven numbers are not the header of a model."""
_ATTENTION = {"query": "wq", "key": "wk", "value": "wv", "out": "wo"}
_NETWORK = {"gate": "w1", "down": "w2", "up": "w3"}
NAMES = Names(
    modules={
        "token_embedding": "tok_embeddings",
        "blocks.#.attn_norm": "layers.#.attention_norm",
        **{f"blocks.#.attn.{ours}": f"layers.#.attention.{w}" for ours, w in _ATTENTION.items()},
        "blocks.#.ffn_norm": "layers.#.ffn_norm",
        **{f"blocks.#.ffn.{ours}": f"layers.#.feed_forward.{w}" for ours, w in _NETWORK.items()},
        "final_norm": "norm",
        "lm_head": "output",
    },
    layouts=dict.fromkeys(("layers.#.attention.wq", "layers.#.attention.wk"), NEIGHBOURS),
    ignored=r"^(freqs_(cos|sin|cis)|rope\.freqs)$",
)
_ARCHITECTURE: dict[str, Any] = {
    "norm": "rmsnorm",
    "norm_eps": 1e-5,
    "norm_order": "pre",
    "position": "rope",
    "rope_base": 10000.0,
    "feed_forward": "swiglu",
}
LLAMA2C = Kind(
    name="llama2.c",
    title="llama2.c",
    names=NAMES,
    fixed={**_ARCHITECTURE, "tie_embeddings": True},
    asked={"n_heads": "6", "context_length": "256"},
)
FIRST = "layers.0.attention.wq.weight"


def llama2c(state: StateDict) -> Kind:
    """Return the kind of llama2.c's ckpt.pt; weights of Meta's have the same names."""
    if "dim" not in state.settings:
        raise RunError(
            f"{state.file}: weights as Meta publishes them, without their settings; give the "
            "Hugging Face folder of this model"
        )
    return LLAMA2C


class _Header(NamedTuple):
    """What a .bin says of its model; `group` numbers share a scale, 0 of them in fp32."""

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int
    is_shared: bool
    version: int
    group: int

    @property
    def is_sane(self) -> bool:
        """Whether these can be the numbers of a model."""
        sizes = (self.dim, self.hidden_dim, self.n_layers, self.n_heads, self.n_kv_heads)
        return (
            all(0 < size <= MOST_WIDTH for size in sizes)
            and self.n_layers <= MOST_LAYERS
            and self.dim % self.n_heads == 0
            and self.dim // self.n_heads % 2 == 0
            and self.n_heads % self.n_kv_heads == 0
            and 0 < self.vocab_size <= MOST_TOKENS
            and 0 < self.seq_len <= MOST_TOKENS
        )


def is_llama2c(file: Path) -> bool:
    """Return whether `file` begins as one of llama2.c's, of any version."""
    with open_regular(file) as opened:
        start = opened.read(28)
    return start.startswith(MAGIC) or (len(start) == 28 and _legacy(start).is_sane)


def read_llama2c(file: Path) -> Pretrained:
    """Read a .bin of llama2.c and the tokenizer.bin beside it; tensors are mapped, not yet read.

    Every size is compared with that of the file before anything else is done with it.
    """
    header = _header(file)
    pieces = list(_pieces(header))
    start = HEADER if header.version else 28
    size, expected = file.stat().st_size, start + sum(_bytes(one, header) for one in pieces)
    if size != expected:
        raise RunError(
            f"{file}: a llama2.c model of {header.n_layers} layers and width {header.dim} takes "
            f"{expected:,} bytes, but the file has {size:,}; fetch or export it again"
        )
    try:
        config = _config(header)
    except ConfigError as error:
        raise RunError(f"{file}: {error}; export it again") from error
    found: dict[str, Stored] = {}
    for piece in pieces:
        if piece.name:
            read = partial(_read, file, start, piece, header)
            found[piece.name] = Stored(piece.shape, torch.float32, read)
        start += _bytes(piece, header)
    tokenizer = read_tokenizer(file, header.vocab_size)
    return Pretrained(
        config=config,
        tensors=to_ours(found, config, NAMES, file),
        tokenizer=tokenizer,
        why_no_tokenizer=f"{file} has no tokenizer; put llama2.c's tokenizer.bin beside it",
        generation=dict(GENERATION) if tokenizer else {},
        source=SourceTable(format=LLAMA2C.name, path=str(file), family="llama", name=file.stem),
    )


def _legacy(start: bytes) -> _Header:
    """Return the header of version 0, whose vocabulary is negative with a head of its own."""
    *sizes, vocab_size, seq_len = struct.unpack("<7i", start)
    return _Header._make((*sizes, abs(vocab_size), seq_len, vocab_size > 0, 0, 0))


def _header(file: Path) -> _Header:
    with open_regular(file) as opened:
        start = opened.read(HEADER)
    if not start.startswith(MAGIC):
        return _legacy(start[:28])
    if len(start) < HEADER:
        raise RunError(f"{file}: ends within its header; fetch or export it again")
    version, *sizes, shared, group = struct.unpack_from("<8iBi", start, 4)
    if version not in (1, 2):
        raise RunError(f"{file}: version {version} of llama2.c's format; 0, 1 and 2 are read")
    header = _Header._make((*sizes, bool(shared), version, group if version == 2 else 0))
    if not header.is_sane or (version == 2 and (group < 1 or header.dim % group)):
        raise RunError(f"{file}: its header is that of no model; fetch or export it again")
    return header


def _config(header: _Header) -> GPTConfig:
    return GPTConfig(
        **_ARCHITECTURE,
        vocab_size=header.vocab_size,
        context_length=header.seq_len,
        emb_dim=header.dim,
        n_heads=header.n_heads,
        n_kv_heads=header.n_kv_heads,
        n_layers=header.n_layers,
        ffn_dim=header.hidden_dim,
        bias=False,
        tie_embeddings=header.is_shared,
    )


Shapes = dict[str, tuple[int, ...]]


class _Piece(NamedTuple):
    """Numbers of a .bin, in its order; those without a name are no parameters."""

    name: str
    shape: tuple[int, ...]


def _pieces(header: _Header) -> Iterator[_Piece]:
    dim, hidden, head = header.dim, header.hidden_dim, header.dim // header.n_heads
    keys = header.n_kv_heads * head
    embedding = _Piece("tok_embeddings.weight", (header.vocab_size, dim))
    norms: list[Shapes] = [{"attention_norm": (dim,)}, {"ffn_norm": (dim,)}]
    attention: Shapes = {
        "attention.wq": (dim, dim),
        "attention.wk": (keys, dim),
        "attention.wv": (keys, dim),
        "attention.wo": (dim, dim),
    }
    network: Shapes = {
        "feed_forward.w1": (hidden, dim),
        "feed_forward.w2": (dim, hidden),
        "feed_forward.w3": (hidden, dim),
    }
    last = _Piece("norm.weight", (dim,))
    if header.version:
        yield from _layers(norms[0] | norms[1], header)
        yield from (last, embedding)
        yield from _layers(attention | network, header)
    else:
        yield embedding
        yield from _layers(norms[0] | attention | norms[1] | network, header)
        yield from (last, *[_Piece("", (header.seq_len, head // 2))] * 2)  # the rotations
    if not header.is_shared:
        yield _Piece("output.weight", embedding.shape)


def _layers(parts: Shapes, header: _Header) -> Iterator[_Piece]:
    """Yield each part in all layers, then the next."""
    for name, shape in parts.items():
        for layer in range(header.n_layers):
            yield _Piece(f"layers.{layer}.{name}.weight", shape)


def _bytes(piece: _Piece, header: _Header) -> int:
    n_numbers = math.prod(piece.shape)
    if header.group and len(piece.shape) > 1:
        return n_numbers + n_numbers // header.group * 4
    return 4 * n_numbers


def _read(file: Path, start: int, piece: _Piece, header: _Header) -> Tensor:
    """Return the numbers of a piece that begins at byte `start`."""
    with open_regular(file) as opened:
        opened.seek(start, os.SEEK_SET)
        raw = opened.read(_bytes(piece, header))
    if len(raw) != _bytes(piece, header):
        raise RunError(f"{file}: it changed while it was read; fetch or export it again")
    if not (header.group and len(piece.shape) > 1):
        return torch.from_numpy(np.frombuffer(raw, "<f4").reshape(piece.shape).copy())
    n_numbers = math.prod(piece.shape)
    steps = np.frombuffer(raw, np.int8, n_numbers).reshape(-1, header.group)
    scales = np.frombuffer(raw, "<f4", offset=n_numbers)[:, None]
    return torch.from_numpy((steps * scales).astype(np.float32).reshape(piece.shape))
