"""The model card: what a model is, what it learnt from and how well, from the run's own files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from groundup.base.words import counted
from groundup.config import GPTConfig
from groundup.plan import count_parameters
from groundup.plan.units import duration
from groundup.runs import RunFolder
from groundup.runs.record import RunRecord, number, read_run
from groundup.weights.pretrained import Exported

UNKNOWN = "unknown"
LOADED = """```python
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

model = AutoModelForCausalLM.from_pretrained("PATH")
tokenizer = PreTrainedTokenizerFast.from_pretrained("PATH")
"""
CONTINUE = (
    LOADED
    + """inputs = tokenizer("Once", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=50)[0]))
```"""
)
ASK = (
    LOADED
    + """inputs = tokenizer.apply_chat_template(
    [{"role": "user", "content": "Hello"}],
    add_generation_prompt=True, return_dict=True, return_tensors="pt",
)
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=50)[0]))
```"""
)


def model_card(folder: RunFolder, model: Exported, step: int, licence: str | None) -> str:
    """Return the text of a README.md for the Hub, of measured figures alone.

    `step` is that of the weights, whose figures count; `licence` is what the user said, else what
    the source of an imported model says.
    """
    run = read_run(folder.path)
    sections = _sections(run, step)
    parts = [
        _front_matter(licence or _line(run.table("source").get("licence", UNKNOWN))),
        f"# {model.name}\n\n{_summary(model.config, run)}",
        *(f"## {title}\n\n{_list(rows)}" for title, rows in sections if rows),
        f"## How to use it\n\n{ASK if model.chat_template else CONTINUE}",
        f"## Licence\n\n{_licence(run, licence)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(licence: str) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    plain = re.fullmatch(r"[A-Za-z][\w.+-]*", licence)
    lines += [f"license: {licence if plain else json.dumps(licence)}"]
    return "\n".join([*lines, "tags:", "- groundup", "---"])


def _summary(config: GPTConfig, run: RunRecord) -> str:
    count = count_parameters(config).total
    return (
        f"A decoder-only transformer of {count:,} parameters: "
        f"{counted(config.n_layers, 'layer')}, {config.emb_dim} wide, "
        f"{counted(config.n_heads, 'head')}, a context of {config.context_length:,} "
        f"tokens and a vocabulary of {config.vocab_size:,}. "
        f"{'Converted' if run.table('source') else 'Trained'} with groundup."
    )


Rows = list[tuple[str, str]]


def _sections(run: RunRecord, step: int) -> Iterator[tuple[str, Rows]]:
    yield "Where it comes from", _origin(run)
    yield "What it learnt from", _data(run)
    yield "How well", _results(run, step)
    yield "How it was trained", _training(run, step)


def _origin(run: RunRecord) -> Rows:
    source, base = run.table("source"), _base(run)
    name = _line(base.get("name") or base.get("run", ""))
    rows = [("Imported from", _line(f"{source.get('name')} ({source.get('format')})"))]
    return [*(rows if source else []), *([("Trained on from", name)] if base else [])]


def _base(run: RunRecord) -> dict[str, Any]:
    """Return what run.toml says of the model that the run started from, {} for a new one."""
    base: dict[str, Any] = run.table("request").get("from", {})
    return base


def _line(text: object) -> str:
    """Return somebody else's text as one line."""
    return " ".join(str(text).split())


def _data(run: RunRecord) -> Rows:
    data = run.table("data")
    rows = [("Texts", ", ".join(map(str, data.get("sources", []))))]
    for split, label in (("train", "Training text"), ("val", "Validation text")):
        if f"{split}_tokens" in data:
            tokens, size = data[f"{split}_tokens"], data.get(f"{split}_bytes", 0)
            rows.append((label, f"{tokens:,} tokens, {size:,} bytes"))
    rows.append(("Split", str(data.get("split_rule", ""))))
    return [row for row in rows if row[1]]


def _results(run: RunRecord, step: int) -> Rows:
    """Return the losses of the weights, on the whole validation text where that was measured."""
    labels = {
        "val_loss": "Validation loss, nats a token",
        "val_perplexity": "Validation perplexity",
        "val_bits_per_byte": "Validation bits per byte",
    }
    is_end = run.ending.get("step") == step and "val_loss" in run.ending
    measured = [run.ending] if is_end else [row for row in run.rows if row["step"] == step]
    n_tokens, asked = run.table("data").get("val_tokens"), run.table("train").get("eval_tokens")
    part = "" if is_end or not asked or asked >= (n_tokens or 0) else f" (about {asked:,} tokens)"
    return [
        (label + part, f"{row[key]:.4f}")
        for row in measured
        for key, label in labels.items()
        if isinstance(row.get(key), float)
    ]


def _training(run: RunRecord, step: int) -> Rows:
    if not run.rows:
        return []
    train, config = run.table("train"), run.config
    row: dict[str, Any] = next((r for r in reversed(run.rows) if r["step"] <= step), {})
    tokens, rate = row.get("tokens"), number(train.get("learning_rate"))
    sequences = int(train.get("batch_size", 0)) * int(train.get("accumulation", 1))
    rows = [
        ("Steps", f"{step:,}" + (f" of a run of {run.step:,}" if run.step > step else "")),
        ("Tokens seen", f"{tokens:,}" if tokens else ""),
        ("Peak learning rate", f"{rate:.4g}, schedule {train.get('schedule', UNKNOWN)}"),
        ("Tokens a step", f"{sequences * config.context_length:,}" if sequences else ""),
        ("Number format", str(train.get("precision", ""))),
        ("Hardware", _hardware(run.table("machine"))),
        ("Time", duration(row["seconds"]) if row.get("seconds") else ""),
        ("Software", ", ".join(f"{k} {v}" for k, v in run.table("versions").items())),
    ]
    return [row for row in rows if row[1]]


def _hardware(machine: dict[str, Any]) -> str:
    parts = [machine.get("gpu"), machine.get("cpu")]
    cores = machine.get("cores")
    return ", ".join([*(str(p) for p in parts if p), *([f"{cores} cores"] if cores else [])])


def _licence(run: RunRecord, said: str | None) -> str:
    if said:
        return f"`{_line(said)}`, as stated by whoever exported it."
    if source := run.table("source").get("licence"):
        return f"`{_line(source)}`, as stated by the model it comes from."
    base = _base(run).get("licence")
    theirs = f" (`{_line(base)}`)" if base else ""
    return (
        f"Not stated. The licences of the texts and of any model it was trained on from{theirs} "
        "apply; state one before you publish it."
    )


def _list(rows: Rows) -> str:
    return "\n".join(f"- {label}: {value}" for label, value in rows)
