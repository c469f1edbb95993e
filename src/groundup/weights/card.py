"""The model card: what a model is, what it learnt from and how well, from the run's own files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from groundup.config import GPTConfig
from groundup.plan import count_parameters
from groundup.plan.units import duration
from groundup.runs import RunFolder
from groundup.runs.report.record import RunRecord, read_run

UNKNOWN = "unknown"


def model_card(folder: RunFolder, config: GPTConfig, name: str, licence: str | None) -> str:
    """Return the text of a README.md for the Hub, of measured figures alone.

    `licence` is what the user said, else what the source of an imported model says.
    """
    run = read_run(folder.path)
    said = licence or str(run.table("source").get("licence") or UNKNOWN)
    parts = [
        _front_matter(run, said),
        f"# {name}\n\n{_summary(config)}",
        *(f"## {title}\n\n{_list(rows)}" for title, rows in _sections(run) if rows),
        _usage(run),
        f"## Licence\n\n{_licence(said)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(run: RunRecord, licence: str) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    lines += [f"license: {licence}", "tags:", "- groundup", "---"]
    return "\n".join(lines)


def _summary(config: GPTConfig) -> str:
    count = count_parameters(config).total
    return (
        f"A decoder-only transformer of {count:,} parameters: {config.n_layers} layers, "
        f"{config.emb_dim} wide, {config.n_heads} heads, a context of {config.context_length:,} "
        f"tokens and a vocabulary of {config.vocab_size:,}. Made with groundup."
    )


Rows = list[tuple[str, str]]


def _sections(run: RunRecord) -> Iterator[tuple[str, Rows]]:
    yield "Where it comes from", _origin(run)
    yield "What it learnt from", _data(run)
    yield "How well", _results(run)
    yield "How it was trained", _training(run)


def _origin(run: RunRecord) -> Rows:
    source = run.table("source")
    base = run.table("request").get("from", {}).get("run")
    rows = [("Imported from", f"{source['name']} ({source['format']})")] if source else []
    return [*rows, *([("Trained on from", str(base))] if base else [])]


def _data(run: RunRecord) -> Rows:
    data = run.table("data")
    rows = [("Texts", ", ".join(map(str, data.get("sources", []))))]
    for split, label in (("train", "Training text"), ("val", "Validation text")):
        if f"{split}_tokens" in data:
            tokens, size = data[f"{split}_tokens"], data.get(f"{split}_bytes", 0)
            rows.append((label, f"{tokens:,} tokens, {size:,} bytes"))
    rows.append(("Split", str(data.get("split_rule", ""))))
    return [row for row in rows if row[1]]


def _results(run: RunRecord) -> Rows:
    labels = {
        "val_loss": "Validation loss, nats a token",
        "val_perplexity": "Validation perplexity",
        "val_bits_per_byte": "Validation bits per byte",
    }
    figures = {"best, on a part of the split": run.best, "at the end, whole split": run.ending}
    rows = []
    for where, row in figures.items():
        rows += [
            (f"{label} ({where}, step {row['step']:,})", f"{row[key]:.4f}")
            for key, label in labels.items()
            if isinstance(row.get(key), float)
        ]
    return rows


def _training(run: RunRecord) -> Rows:
    train, machine = run.table("train"), run.table("machine")
    if not run.rows:
        return []
    tokens, seconds = run.last("tokens"), run.last("seconds")
    rows = [
        ("Steps", f"{run.step:,}"),
        ("Tokens seen", f"{tokens:,.0f}" if tokens else ""),
        ("Peak learning rate", f"{train.get('learning_rate', UNKNOWN)}, {train.get('schedule')}"),
        ("Batch", f"{train.get('batch_size')} sequences x {train.get('accumulation')}"),
        ("Number format", str(train.get("precision", ""))),
        ("Hardware", _hardware(machine)),
        ("Time", duration(seconds) if seconds else ""),
        ("Software", ", ".join(f"{k} {v}" for k, v in run.table("versions").items())),
    ]
    return [row for row in rows if row[1]]


def _hardware(machine: dict[str, Any]) -> str:
    parts = [machine.get("gpu"), machine.get("cpu")]
    cores = machine.get("cores")
    return ", ".join([*(str(p) for p in parts if p), *([f"{cores} cores"] if cores else [])])


def _usage(run: RunRecord) -> str:
    return """## How to use it

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("PATH")
tokenizer = AutoTokenizer.from_pretrained("PATH")
inputs = tokenizer("Once", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=50)[0]))
```"""


def _licence(said: str) -> str:
    if said == UNKNOWN:
        return (
            "Not stated. The licences of the texts and of any model it was trained on from apply; "
            "state one before you publish it."
        )
    return f"`{said}`, as stated by whoever exported it or by the model it comes from."


def _list(rows: Rows) -> str:
    return "\n".join(f"- {label}: {value}" for label, value in rows)
