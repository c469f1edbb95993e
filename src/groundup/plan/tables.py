"""A plan in words and figures: plain rows, which the command line prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from groundup.base.words import counted
from groundup.config import GPTConfig
from groundup.plan.classifier import ALL, HEAD, LAST, Texts, as_read
from groundup.plan.count import BYTES, Count, windowed_layers
from groundup.plan.memory import Memory
from groundup.plan.plan import TOKENS_PER_PARAMETER, Plan
from groundup.plan.units import MIB, about, duration, flop, mib, number, passes

Row = tuple[str, ...]
UNKNOWN = "unknown"
"""What depends on a part that groundup does not have."""
FORMATS = ("fp32", "bf16", "int8")
"""Number formats shown to a person; fp16 takes what bf16 takes."""


class Table(NamedTuple):
    """A table to print: a title, the names of its columns, and its rows."""

    title: str
    columns: Row
    rows: list[Row]


def plan_rows(plan: Plan) -> list[tuple[str, str]]:
    """Return the plan of a run as a few lines of (label, words)."""
    rows = [
        ("Model", _model(plan.config, plan.read != "text")),
        ("Parameters", _parameters(plan.count)),
        ("Storage", ", ".join(f"{mib(plan.count.storage(f))} in {f}" for f in FORMATS)),
        ("Memory", memory_sum(plan.training or plan.generation.get("fp32"))),
    ]
    if plan.train is not None:
        if plan.learning < plan.own_parameters or plan.texts:
            rows.append(("Learns", _learning(plan)))
        rows += [("Learns from", _learns_from(plan)), ("Work", _work(plan))]
    if plan.seconds is not None:
        rows.append(("Time", f"at least {duration(plan.seconds)}, by this machine's calibration"))
    return rows


def plan_tables(plan: Plan, name: str = "model") -> list[Table]:
    """Return the whole plan as tables: parts, conventions, memory, and the run."""
    tables = [
        _parts(plan, name),
        _conventions(plan),
        _storage(plan.count),
        *([_training(plan.training)] if plan.training else []),
        *([_generating(plan.generation)] if plan.generation else []),
    ]
    return [*tables, Table("The run", ("", ""), list(_run_rows(plan)))]


def _model(c: GPTConfig, has_rows: bool = False) -> str:
    """Describe a model by its numbers; those that are as in GPT-2 go without saying.

    Where it `has_rows`, they may be shorter than its context, which is not told.
    """
    shared = f" sharing {c.n_kv_heads} of keys and values" if c.n_kv_heads < c.n_heads else ""
    heads = counted(c.n_heads, "head") + shared
    words = [counted(c.n_layers, "layer"), f"{c.emb_dim} wide", heads]
    if c.n_experts:
        words.append(f"{counted(c.n_experts, 'expert')}, {c.n_active_experts} of them for a token")
    if c.window is not None:
        words.append(f"a window of {c.window:,} in {counted(windowed_layers(c), 'layer')}")
    length = f"{'rows of' if has_rows else 'context'} {c.context_length:,}"
    words += [length, f"vocabulary {c.vocab_size:,}"]
    return ", ".join(words)


def _parameters(count: Count) -> str:
    active = f", {count.active:,} at work on a token" if count.active < count.total else ""
    return f"{count.total:,} ({count.convention}){active}"


def memory_sum(memory: Memory | None) -> str:
    """Write a memory as a sum: 622 MiB at the end of … = weights 155 + gradients 155 + …"""
    if memory is None:
        return UNKNOWN
    terms = [f"{name} {about(size / MIB)}" for name, size in memory.terms.items() if size]
    terms += [f"{name} ?" for name in memory.unknown]
    return f"{memory.total / MIB:,.0f} MiB at the {memory.moment} = {' + '.join(terms)}"


def _learning(plan: Plan) -> str:
    """Write how much learns: 3,456 of 1.33 M parameters (the head)."""
    assert plan.train is not None, "something learns"
    what = []
    if plan.train.adapts:
        what.append(f"{plan.train.method} of rank {plan.train.lora_rank}")
    if plan.texts:
        what += {LAST: ["the last block"], ALL: [] if what else ["all layers"]}.get(
            plan.texts.layers, []
        )
        what.append("the head")
    said = " and ".join(what)
    if plan.learning == plan.own_parameters:
        return f"all {plan.learning:,} parameters ({said})"
    return f"{plan.learning:,} of {number(plan.own_parameters)} parameters ({said})"


def _parts(plan: Plan, name: str) -> Table:
    columns = ("part", "parameters", "share", "one block", "fp32, MiB")
    rows = [
        _part_row(part, size, plan.parameters, plan.block.get(part, 0))
        for part, size in plan.count.parts.items()
    ]
    total, active = plan.parameters, plan.count.active
    rows.append(_part_row("total", total, total, sum(plan.block.values())))
    if active < total:
        rows.append(_part_row("at work on a token", active, total, 0))
    return Table(f"{name}: {plan.count.convention}", columns, rows)


def _part_row(part: str, size: int, total: int, in_block: int) -> Row:
    block = f"{in_block:,}" if in_block else ""
    return (part, f"{size:,}", f"{size / total:.1%}", block, f"{size * BYTES['fp32'] / MIB:,.2f}")


def _conventions(plan: Plan) -> Table:
    columns = ("the same shape counted (* this model)", "parameters", "fp32, MiB")
    return Table("Conventions", columns, [_convention_row(c, plan) for c in plan.conventions])


def _convention_row(count: Count, plan: Plan) -> Row:
    this = " *" if count.convention == plan.count.convention else ""
    return (count.convention + this, f"{count.total:,}", f"{count.storage() / MIB:,.2f}")


def _storage(count: Count) -> Table:
    rows: list[Row] = [
        (f, f"{count.storage(f):,}", f"{count.storage(f) / MIB:,.2f}") for f in BYTES
    ]
    return Table("Storage of the weights", ("number format", "bytes", "MiB"), rows)


def _training(memory: Memory) -> Table:
    rows: list[Row] = [(name, f"{size / MIB:,.1f}") for name, size in memory.terms.items()]
    rows += [(name, UNKNOWN) for name in memory.unknown]
    total = "at least" if memory.unknown else "total"
    rows.append((total, f"{memory.total / MIB:,.1f}"))
    return Table("Memory for training", (f"at the {memory.moment}", "MiB"), rows)


def _generating(by_format: Mapping[str, Memory]) -> Table:
    """Return a table with a column for each format in which the weights may be stored."""
    memories = by_format.values()
    names = dict.fromkeys(name for memory in memories for name in memory.terms)
    rows: list[Row] = [("peak while", *(memory.moment.partition(" ")[0] for memory in memories))]
    rows += [(name, *(f"{m.terms.get(name, 0) / MIB:,.1f}" for m in memories)) for name in names]
    rows.append(("total", *(f"{memory.total / MIB:,.1f}" for memory in memories)))
    return Table("Memory for generating, MiB", ("weights stored in", *by_format), rows)


def _run_rows(plan: Plan) -> list[Row]:
    rows: list[Row] = [
        ("forward, for a token", _flop(plan.forward_flops_per_token)),
        ("training, for a token", _flop(plan.flops_per_token)),
    ]
    if plan.texts is None and plan.read == "text":
        best = f"{number(TOKENS_PER_PARAMETER * plan.parameters)} tokens"
        each = f"{TOKENS_PER_PARAMETER} tokens for each parameter (Hoffmann et al., 2022)"
        rows.append((each, best))
    if plan.train is not None:
        if plan.learning < plan.own_parameters or plan.texts:
            rows.append(("what learns", _learning(plan)))
        rows.append(("the run learns from", _learns_from(plan)))
        rows.append(("and takes", _work(plan)))
    if plan.seconds is not None:
        rows.append(("by this machine's calibration", f"at least {duration(plan.seconds)}"))
    return rows


def _flop(work: int | None) -> str:
    return UNKNOWN if work is None else flop(work)


def _learns_from(plan: Plan) -> str:
    return _tokens(plan) if plan.texts is None else _texts(plan, plan.texts)


def _texts(plan: Plan, texts: Texts) -> str:
    """Write 4,534 texts of 24 tokens in the mean (852 steps of 16), 3 passes over the texts."""
    at_once = plan.train.sequences_per_step if plan.train else 0
    if not texts.n_texts:
        longest = as_read(plan.config, texts).context_length
        each = f"{counted(at_once, 'text')} of {longest:,} tokens or less"
        if plan.steps is None:
            return f"{each} a step"
        return f"{counted(plan.steps, 'step')} of {each}"
    words = (
        f"{counted(texts.n_texts, 'text')} of {about(texts.mean_length or 0)} tokens in the mean"
    )
    if plan.steps is None or plan.passes is None:
        return f"{words}, {at_once:,} a step, as many steps as time allows"
    steps = f"{counted(plan.steps, 'step')} of {at_once:,}"
    return f"{words} ({steps}), {passes(plan.passes, 'texts')}"


def _tokens(plan: Plan) -> str:
    if plan.tokens is None:
        return f"{number(plan.tokens_per_step or 0)} tokens a step, as many steps as time allows"
    steps = f"{counted(plan.steps or 0, 'step')} of {plan.tokens_per_step:,}"
    words = [f"{number(plan.tokens)} tokens ({steps})"]
    if plan.passes is not None:
        words.append(passes(plan.passes, plan.read))
    if plan.read == "text":  # of a model that has learnt before, the ratio would say nothing
        ratio = about(plan.tokens_per_parameter or 0.0)
        words.append(f"{ratio} a parameter (Chinchilla: {TOKENS_PER_PARAMETER})")
    return ", ".join(words)


def _work(plan: Plan) -> str:
    if plan.texts and plan.texts.layers == HEAD:
        each = f"{_flop(plan.forward_flops_per_token)} a token, each read once"
    else:
        each = f"{_flop(plan.flops_per_token)} a token"
    return each if plan.work is None else f"{flop(plan.work)} ({each})"
