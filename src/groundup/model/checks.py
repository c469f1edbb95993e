"""What is given to a model, checked by type and shape alone: nothing waits for a device.

What is no batch of ids is a `TypeError`, too many of them are a `ValueError`, and one beyond the
vocabulary is an `IndexError`: one line each, which says what to write.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from groundup.config import GPTConfig, part_tables
from groundup.config.fields import one_of, require
from groundup.model.block import PARTS
from groundup.model.parts import GIVEN, Parts, takes


def check_config(config: object) -> None:
    """Refuse what is no `GPTConfig`: a dictionary of its fields, the name of a preset."""
    if isinstance(config, GPTConfig):
        return
    hint = "GPT(GPTConfig(emb_dim=384, n_heads=6)) or GPT(preset('nano'))"
    if isinstance(config, dict):
        hint = "GPT(GPTConfig(**config))"
    elif isinstance(config, str):
        hint = f"GPT(preset({config[:40]!r}))"
    raise TypeError(f"GPT of a {type(config).__name__}: expected a GPTConfig; write {hint}")


def check_parts(config: GPTConfig, parts: Parts) -> None:
    """Refuse a part that no table has, and one that takes the name of another."""
    if not isinstance(parts, Parts):
        raise TypeError(
            f"parts are a {type(parts).__name__}: expected Parts; write "
            "dataclasses.replace(PARTS, norms={**PARTS.norms, 'mine': MyNorm})"
        )
    for field, (table, _) in part_tables().items():
        name, known, own = getattr(config, field), getattr(parts, table), getattr(PARTS, table)
        if not isinstance(known, Mapping):
            raise TypeError(
                f"parts.{table} is a {type(known).__name__}: expected parts by their names; write "
                f"{table}={{**PARTS.{table}, 'mine': YourPart}}"
            )
        expected = f"{one_of(name, known)}, or a part of your own: "
        expected += f"GPT(config, parts=replace(PARTS, {table}={{**PARTS.{table}, {name!r}: "
        require(name in known, field, name, f"{expected}YourPart}}))")
        is_other = name in own and own[name] is not known[name]
        require(
            not is_other, field, name, f"groundup's own in parts.{table}; give yours a new name"
        )
        _check_entry(field, name, known[name])


def _check_entry(field: str, name: str, entry: object) -> None:
    """Refuse what makes no part: one that is made already, a function for another purpose."""
    if not callable(entry) or isinstance(entry, nn.Module):
        made = isinstance(entry, nn.Module)
        hint = f"; write {type(entry).__name__} for the class itself" if made else ""
        what = f"an object of {type(entry).__name__}"
        raise TypeError(f"{field} = {name!r} is {what}: expected a class of modules{hint}")
    if not takes(entry, GIVEN[field]):
        raise TypeError(
            f"{field} = {name!r} is {_shown(entry)}: expected a class of modules, or a function "
            f"that makes one, that is called with ({GIVEN[field]})"
        )


def _shown(entry: Callable[..., object]) -> str:
    return f"{getattr(entry, '__name__', type(entry).__name__)}{inspect.signature(entry)}"


def check_attend(attend: object) -> None:
    """Refuse a way of attending that is no function, such as the name of one."""
    if not callable(attend):
        raise TypeError(
            f"attend is a {type(attend).__name__}: expected a function with the signature of "
            "plain_attention; write attend=plain_attention, or parts=... for tables of parts"
        )


def check_tokens(tokens: Tensor, context_length: int) -> int:
    """Return T of `tokens` (B, T), which must be whole numbers and fit into the context."""
    if not isinstance(tokens, Tensor):
        raise TypeError(
            f"tokens are a {type(tokens).__name__}: expected an integer tensor (B, T); write "
            "torch.tensor([ids]) for a list of ids, or generate(model, tokenizer, text) for a text"
        )
    if tokens.dim() != 2:
        hint = "; write tokens[None] for a batch of one row" if tokens.dim() == 1 else ""
        raise TypeError(f"tokens have the shape {tuple(tokens.shape)}: expected (B, T){hint}")
    if tokens.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"tokens are {tokens.dtype}: expected whole numbers; write tokens.long()")
    n_tokens = tokens.shape[1]
    if not 1 <= n_tokens <= context_length:
        raise ValueError(
            f"{n_tokens} tokens given, but the model sees at least 1 and at most "
            f"context_length = {context_length} at once"
        )
    return n_tokens


def unknown_token(tokens: Tensor, vocab_size: int) -> IndexError:
    """Say which of `tokens` the vocabulary lacks, once the embedding has failed to find one."""
    unknown = tokens[(tokens < 0) | (tokens >= vocab_size)]
    return IndexError(
        f"token id {unknown[0].item()}: expected 0 to {vocab_size - 1}, as vocab_size = "
        f"{vocab_size}; encode with the tokenizer that the model was made for"
    )
