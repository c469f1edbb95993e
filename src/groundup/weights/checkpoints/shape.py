"""The shape of a model that its tensors tell, with what stands beside them or was said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from groundup.base.errors import ConfigError, RunError, UsageError, shown
from groundup.config import GPTConfig, build
from groundup.config.fields import field_types
from groundup.weights.checkpoints.kind import Kind
from groundup.weights.checkpoints.state_dict import StateDict
from groundup.weights.early_checks import IncompleteError
from groundup.weights.pickles import PICKLE, TRUST
from groundup.weights.tensor_names import called

OTHER_NAMES = {
    "n_embd": "emb_dim",
    "dim": "emb_dim",
    "n_head": "n_heads",
    "n_layer": "n_layers",
    "n_kv_head": "n_kv_heads",
    "block_size": "context_length",
    "sequence_len": "context_length",
    "max_seq_len": "context_length",
    "dropout": "drop_rate",
}
"""Settings that the tools call otherwise."""
FREE = ("drop_rate", "attention_drop_rate", "n_kv_heads", "head_dim")
"""Settings that may be told, as training alone needs them, or as others follow from them."""
GPT2 = dict.fromkeys((50257, 50304), "gpt2")
"""The tokenizer of vocabularies of these sizes; the second is a multiple of 64."""
OUT = "blocks.0.attn.out.weight"
USUAL_HEAD = 64
"""Width of a head of most models, for an example."""


def settled(
    kind: Kind, state: StateDict, settings: Mapping[str, Any], has_tokenizer: bool = True
) -> GPTConfig:
    """Return the shape of the model of `state`.

    All that speak of a setting must agree: the tensors, the tool's architecture, the checkpoint, a
    file beside it, and `settings`. Raises `RunError` where they do not, and `UsageError` for
    `settings` that contradict, or for what nobody says, a tokenizer among it.
    """
    known: dict[str, tuple[Any, str]] = {}
    _add(known, kind.fixed, f"{kind.title} has", state)
    _add(known, _derived(kind, state), "its tensors have", state)
    others = {f.name: f.default for f in fields(GPTConfig) if f.name not in (*known, *kind.asked)}
    others = {name: value for name, value in others.items() if name not in FREE}
    _add(known, others, f"{kind.title} has", state)
    _add(known, _ours(state.settings), "it says itself", state)
    _add(known, _ours(kind.told(state)), "the file beside it says", state)
    told = {name: value for name, (value, _) in known.items()} | dict(settings)
    _add(known, _key_heads(kind, state, told), "its tensors have", state)
    _add(known, settings, "--set", state)
    ask(kind, {name: value for name, (value, _) in known.items()}, state, has_tokenizer)
    try:
        return build(GPTConfig, {name: value for name, (value, _) in known.items()})
    except ConfigError as error:
        wrong = UsageError if settings else RunError
        raise wrong(f"{state.file}: {error}; correct what is said of its shape") from error


def _add(
    known: dict[str, tuple[Any, str]], values: Mapping[str, Any], who: str, state: StateDict
) -> None:
    for name, value in values.items():
        if not isinstance(value, int | float | str | tuple | None):  # a pickle may have tensors
            raise RunError(f"{state.file}: {who} {name} is a {type(value).__name__}; correct it")
        before, by = known.setdefault(name, (value, who))
        if before == value and isinstance(before, bool) == isinstance(value, bool):
            continue
        said, other = shown(value), shown(before)
        if who == "--set":
            raise UsageError(f"{state.file}: --set {name}={said}, but {by} {other}; leave it out")
        raise RunError(f"{state.file}: {who} {name} = {said}, but {by} {other}; correct the one")


def _ours(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ours among what a tool says; 0 heads of keys are those of queries."""
    known = field_types(GPTConfig)
    named = {OTHER_NAMES.get(str(key), str(key)): value for key, value in told.items()}
    return {
        name: value
        for name, value in named.items()
        if name in known and value is not None and not (name == "n_kv_heads" and value == 0)
    }


def _derived(kind: Kind, state: StateDict) -> dict[str, Any]:
    """Return what the tensors tell of a model's shape."""
    vocab_size, emb_dim = _matrix(kind, state, "token_embedding")
    ffn_dim, _ = _matrix(kind, state, "blocks.0.ffn.up")
    has_bias = _name(kind, "blocks.0.attn.out", "bias") in state.tensors
    told = {
        "vocab_size": vocab_size,
        "emb_dim": emb_dim,
        "n_layers": _n_layers(kind, state),
        "ffn_dim": ffn_dim,
        "bias": has_bias,
        "qkv_bias": _name(kind, "blocks.0.attn.query", "bias") in state.tensors,
        "head_bias": _name(kind, "lm_head", "bias") in state.tensors,
    }
    if "position_embedding" in kind.names.modules:
        told["context_length"] = _matrix(kind, state, "position_embedding")[0]
    return told


def _key_heads(kind: Kind, state: StateDict, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many heads of keys the tensors have, where keys are a matrix of their own."""
    query, key = (_name(kind, f"blocks.0.attn.{one}", "weight") for one in ("query", "key"))
    n_heads, width = told.get("n_heads"), told["emb_dim"]
    if query == key or type(n_heads) is not int or n_heads < 1 or width % n_heads:
        return {}  # what is wrong with it is said elsewhere
    return {"n_kv_heads": _matrix(kind, state, "blocks.0.attn.key")[0] // (width // n_heads)}


def _n_layers(kind: Kind, state: StateDict) -> int:
    """Return how many layers the tensors of `state` belong to."""
    layer = re.escape(called(OUT, kind.names)).replace(r"\.0\.", r"\.(\d{1,6})\.", 1)
    found = (re.fullmatch(layer, name) for name in state.tensors)
    layers = {int(match[1]) for match in found if match}
    if layers != set(range(len(layers))):
        gap = min(set(range(len(state.tensors))) - layers)
        raise RunError(
            f"{state.file}: no {called(OUT.replace('0', str(gap)), kind.names)} in it, but that of "
            "a later layer; save the whole model"
        )
    return len(layers)


def _name(kind: Kind, module: str, parameter: str) -> str:
    return called(f"{module}.{parameter}", kind.names)


def _matrix(kind: Kind, state: StateDict, module: str) -> tuple[int, int]:
    """Return the shape of a matrix of theirs, which must be one."""
    name = _name(kind, module, "weight")
    if name not in state.tensors:
        raise RunError(f"{state.file}: no {name} in it, as {kind.title} has; save the whole model")
    shape = state.tensors[name].shape
    if len(shape) != 2 or not all(shape):
        raise RunError(f"{state.file}: {name} is {shape}, expected a matrix; save the whole model")
    return shape[0], shape[1]


def told_of(kind: Kind, state: StateDict) -> dict[str, Any]:
    """Return the settings that a checkpoint and the file beside it tell."""
    return _ours(state.settings) | _ours(kind.told(state))


def ask(
    kind: Kind,
    known: Mapping[str, Any],
    state: StateDict,
    has_tokenizer: bool,
    is_trusted: bool = True,
) -> None:
    """Ask for all that nobody has said; of a file that is not trusted, names alone are known."""
    why, words = ([], []) if is_trusted else ([f"it is {PICKLE}"], [TRUST])
    sizes = {name: value for name, value in known.items() if type(value) is int}
    if not has_tokenizer:
        tokenizer = GPT2.get(sizes["vocab_size"], "?") if "vocab_size" in sizes else kind.tokenizer
        why.append("it has no tokenizer (give gpt2, or a tokenizer.json)")
        words += ["--tokenizer", tokenizer]
    if missing := [name for name in kind.asked if name not in known]:
        width = sizes.get("emb_dim", 0)
        usual = {"n_heads": width // USUAL_HEAD} if width and width % USUAL_HEAD == 0 else {}
        named = [f"{name} (such as {usual.get(name, kind.asked[name])})" for name in missing]
        why.append(f"its tensors do not tell {' and '.join(named)}, nor does a file beside it")
        words += [word for name in missing for word in ("--set", f"{name}=?")]
    if words:
        what = f"{state.file}, a checkpoint of {kind.title}"
        raise IncompleteError(f"{what}: {'; '.join(why)}", words)
