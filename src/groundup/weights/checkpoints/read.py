"""A checkpoint of some tool's, told by the names of its tensors, as a model of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, UsageError, shown
from groundup.runs.manifest import SourceTable
from groundup.weights.checkpoints.book import BOOK, BOOK_FAST
from groundup.weights.checkpoints.gpt2_like import FIRST, gpt2_like
from groundup.weights.checkpoints.kind import Kind
from groundup.weights.checkpoints.llama2c import FIRST as LLAMA2C_FIRST
from groundup.weights.checkpoints.llama2c import llama2c
from groundup.weights.checkpoints.nanochat import NANOCHAT
from groundup.weights.checkpoints.shape import ask, settled, told_of
from groundup.weights.checkpoints.state_dict import StateDict, names_alone, read_state_dict
from groundup.weights.early_checks import TOOLS
from groundup.weights.hf.read import narrowed, read_hf_weights
from groundup.weights.pickles import BEGINNINGS, check_trusted
from groundup.weights.pretrained import Pretrained
from groundup.weights.tensor_names import to_ours

KINDS: dict[str, Callable[[StateDict], Kind | None]] = {
    "trf_blocks.0.att.W_query.weight": lambda state: BOOK,
    "trf_blocks.0.att.qkv.weight": lambda state: BOOK_FAST,
    FIRST: gpt2_like,
    "transformer.h.0.attn.c_q.weight": lambda state: NANOCHAT,
    LLAMA2C_FIRST: llama2c,
}
"""Which kind of checkpoint has a tensor of this name."""


def is_pickle(start: bytes) -> bool:
    """Return whether a file that begins so is a pickle of PyTorch's."""
    return start.startswith(BEGINNINGS)


def read_checkpoint(
    file: Path,
    pickled: bool,
    trust_pickle: bool,
    settings: Mapping[str, Any],
    has_tokenizer: bool,
) -> Pretrained:
    """Read a state dict of a known tool, or the weights of a Hugging Face model beside its config.

    `settings` say what tensors do not tell. What is missing, extra, misshapen or contradicted is a
    one-line error; all that is to be said besides is asked for at once.
    """
    if pickled and not trust_pickle:
        _ask_for_trust(names_alone(file), settings, has_tokenizer)
    state = read_state_dict(file, pickled)
    kind = _kind(state)
    if kind is None:
        return _hugging_face(state, settings)
    config = settled(kind, state, settings, has_tokenizer)
    tensors = to_ours(state.tensors, config, kind.names, file)
    return Pretrained(
        config=config,
        tensors={name: narrowed(stored) for name, stored in tensors.items()},
        tokenizer=None,
        source=SourceTable(format=kind.name, path=str(file), name=file.stem),
    )


def _kind(state: StateDict) -> Kind | None:
    """Return the kind of a state dict, None where it is no tool's; what is not read is refused."""
    kind = next((kind(state) for name, kind in KINDS.items() if name in state.tensors), None)
    if kind is None:
        return None
    for name in state.tensors:
        if why := next((w for p, w in kind.refused.items() if re.search(p, name)), None):
            raise RunError(f"{state.file}: {shown(name)} is {why}")
    return kind


def _ask_for_trust(state: StateDict, settings: Mapping[str, Any], has_tokenizer: bool) -> None:
    """Refuse a pickle, and name all else that will be missing, as its names show."""
    if "model_type" not in state.beside("config.json") and (kind := _kind(state)):
        ask(kind, told_of(kind, state) | {**settings}, state, has_tokenizer, is_trusted=False)
    check_trusted(state.file, False)


def _hugging_face(state: StateDict, settings: Mapping[str, Any]) -> Pretrained:
    """Read the weights of a model of Hugging Face's, which its config stands beside."""
    if state.file.with_name("config.toml").is_file():
        raise RunError(f"{state.file}: a part of a folder of ours; give the folder it lies in")
    if "model_type" not in state.beside("config.json"):
        some = ", ".join(map(shown, list(state.tensors)[:3])) or "none"
        raise RunError(
            f"{state.file}: its tensors ({some}, …) are of no checkpoint that is known; give one "
            f"of {TOOLS}, or one of Hugging Face's with its config.json beside it"
        )
    if settings:
        raise UsageError(f"--set: the config.json beside {state.file} says it all; leave it out")
    return read_hf_weights(state.file.parent, lambda: (state.tensors, state.file))
