"""llama.cpp's names and layouts of tensors, and what turns them into ours and back.

Each of its tensors is some of ours, one below the other: a GPT-2's query, key and value are one,
and so are a layer's experts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from groundup.base.errors import RunError
from groundup.config import GPTConfig, parameter_shapes
from groundup.weights.gguf.architectures import ARCHITECTURES
from groundup.weights.tensor_names import NEIGHBOURS

NAMES = {
    "token_embedding": "token_embd",
    "position_embedding": "position_embd",
    "final_norm": "output_norm",
    "lm_head": "output",
    "attn_norm": "attn_norm",
    "attn.query": "attn_q",
    "attn.key": "attn_k",
    "attn.value": "attn_v",
    "attn.out": "attn_output",
    "attn.sinks": "attn_sinks",
    "attn.query_norm": "attn_q_norm",
    "attn.key_norm": "attn_k_norm",
    "attn_post_norm": "post_attention_norm",
    "ffn_norm": "ffn_norm",
    "ffn.gate": "ffn_gate",
    "ffn.up": "ffn_up",
    "ffn.down": "ffn_down",
    "ffn.router": "ffn_gate_inp",
    "ffn.experts.gate": "ffn_gate_exps",
    "ffn.experts.up": "ffn_up_exps",
    "ffn.experts.down": "ffn_down_exps",
    "ffn.shared.gate": "ffn_gate_shexp",
    "ffn.shared.up": "ffn_up_shexp",
    "ffn.shared.down": "ffn_down_shexp",
    "ffn.shared_gate": "ffn_gate_inp_shexp",
    "ffn_post_norm": "post_ffw_norm",
}
FUSED = dict.fromkeys(("attn.query", "attn.key", "attn.value"), "attn_qkv")
FUSED_TENSOR = "blk.0.attn_qkv.weight"
GATE_IN_UP = {"ffn.gate": "ffn_up"}
ROPE_FACTORS = "rope_freqs.weight"
"""By how much llama3's scaling slows each pair; ours follows from the config."""
SHORT_FACTORS, LONG_FACTORS = "rope_factors_short.weight", "rope_factors_long.weight"
"""The same of longrope, one list for short contexts and one for long ones (Phi 3)."""

_NAME = re.compile(r"(?:(blocks)\.(\d+)\.)?(.+?)(?:\.experts\.(\d+)(\..+))?\.(weight|bias)")

Transform = Callable[[Tensor], Tensor]


class Piece(NamedTuple):
    """One of our tensors inside one of llama.cpp's, and what turns it into theirs and into ours."""

    name: str
    shape: tuple[int, ...]
    to_theirs: Transform
    to_ours: Transform

    @property
    def size(self) -> int:
        """Number of values in it."""
        return math.prod(self.shape)


class TensorLayout(NamedTuple):
    """The shape of one of llama.cpp's tensors, and those of ours that it is made of."""

    shape: tuple[int, ...]
    pieces: list[Piece]


def layout(
    architecture: str, config: GPTConfig, fused: bool | None = None
) -> dict[str, TensorLayout]:
    """Return llama.cpp's tensors for a model by name, in our order.

    `fused` says whether query, key and value are one, which a file may have either way; None: as
    the architecture's are written.
    """
    arch = ARCHITECTURES[architecture]
    names = NAMES | arch.names
    if arch.fused if fused is None else fused:
        names |= FUSED
    if arch.gate_in_up:
        names |= GATE_IN_UP
    # llama.cpp adds every bias that its architecture knows, whether the model has it or not.
    full = config.replace(**dict.fromkeys(arch.biases, True))
    grouped: dict[str, list[Piece]] = {}
    for parameter in parameter_shapes(full):
        to_theirs, to_ours = _transforms(parameter.name, arch.interleaved, config)
        piece = Piece(parameter.name, parameter.shape, to_theirs, to_ours)
        grouped.setdefault(_foreign(parameter.name, names), []).append(piece)
    return {name: TensorLayout(_shape(name, pieces), pieces) for name, pieces in grouped.items()}


def _foreign(name: str, names: dict[str, str]) -> str:
    match = _NAME.fullmatch(name if name.endswith((".weight", ".bias")) else f"{name}.weight")
    is_block, layer, module, expert, projection, kind = match.groups() if match else [None] * 6
    ours = f"{module}.experts{projection}" if expert else module
    if ours not in names:
        raise RunError(f"GGUF files have no place for {name}")
    return f"blk.{layer}.{names[ours]}.{kind}" if is_block else f"{names[ours]}.{kind}"


def _shape(name: str, pieces: list[Piece]) -> tuple[int, ...]:
    first = pieces[0].shape
    if "_exps." in name:
        return (len(pieces), *first)
    return (sum(piece.shape[0] for piece in pieces), *first[1:])


def _transforms(name: str, interleaved: bool, config: GPTConfig) -> tuple[Transform, Transform]:
    """Return what turns one of our tensors into llama.cpp's, and what turns it back."""
    if interleaved and (".query." in name or ".key." in name):
        return (
            lambda x: NEIGHBOURS.join([x], config),
            lambda x: NEIGHBOURS.split(x, [tuple(x.shape)], config)[0],
        )
    if config.norm == "zero_centered_rmsnorm" and name.endswith("norm.weight"):
        return (lambda x: x.float() + 1), (lambda x: (x.float() - 1).to(x.dtype))
    return _same, _same


def _same(x: Tensor) -> Tensor:
    return x


def with_offsets(tensor: TensorLayout) -> Iterator[tuple[Piece, int]]:
    """Yield each piece and the number of values before it."""
    start = 0
    for piece in tensor.pieces:
        yield piece, start
        start += piece.size
