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
from groundup.runs.assistant import (
    ASSISTANT,
    GRPO,
    OF_PAIRS,
    AssistantRecord,
    objective_of,
    read_assistant,
)
from groundup.runs.classification import Interval, read_classification
from groundup.runs.classifier import CLASSIFIER
from groundup.runs.manifest import MachineTable
from groundup.runs.record import RunRecord, number, read_run
from groundup.weights.pretrained import Exported
from groundup.weights.sampling_settings import stop_ids

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


DECIDE = """```python
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

model = AutoModelForSequenceClassification.from_pretrained("PATH")
tokenizer = PreTrainedTokenizerFast.from_pretrained("PATH")
inputs = tokenizer("a text", truncation=True, return_tensors="pt")
probabilities = model(**inputs).logits[0].softmax(-1)
print(model.config.id2label[int(probabilities.argmax())], float(probabilities.max()))
```"""


def model_card(folder: RunFolder, model: Exported, step: int, licence: str | None) -> str:
    """Return the text of a README.md for the Hub, of measured figures alone.

    `step` is that of the weights, whose figures count; `licence` is what the user said, else what
    the source of an imported model says.
    """
    run = read_run(folder.path)
    sections, source = _sections(run, step), run.manifest.source
    task, use, does = "text-generation", CONTINUE, ""
    if model.chat_template:
        use = f"{_turns(model)}\n\n{ASK}"
    if run.manifest.kind == ASSISTANT:
        does = f" It was tuned to answer{_tuned(run)}."
    if model.head is not None:
        task, use = "text-classification", DECIDE
        does = f" It decides about texts: {_line(', '.join(model.head.table.labels))}."
    parts = [
        _front_matter(licence or _line((source and source.licence) or UNKNOWN), task),
        f"# {model.name}\n\n{_summary(model.config, run)}{does}",
        *(f"## {title}\n\n{_list(rows)}" for title, rows in sections if rows),
        f"## How to use it\n\n{use}",
        f"## Licence\n\n{_licence(run, licence)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(licence: str, task: str) -> str:
    lines = ["---", "library_name: transformers", f"pipeline_tag: {task}"]
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
        f"{'Converted' if run.manifest.source else 'Trained'} with groundup."
    )


def _tuned(run: RunRecord) -> str:
    """Say on what an assistant has learnt to answer, and what of it has learnt."""
    made = run.manifest
    if made.source:  # an adapter of somebody else's, on an assistant of ours
        return ""
    how = ""  # as of quantised runs, which do not tell
    if made.adapter is not None:
        how = f"by adapters ({made.adapter.method} of rank {made.adapter.rank})"
    elif made.saved:
        how = "by adapters that were merged with it"
    elif made.train:
        how = "by all of its weights"
    data = made.data
    named = _line(", ".join(map(str, data.sources or [])))
    on = f"on {counted(data.train_documents or 0, 'record')} of {named}" if named else ""
    return "".join(f", {part}" for part in (on, how) if part)


def _turns(model: Exported) -> str:
    """Say how one talks with a model that has a chat template."""
    names = {token: name for name, token in model.tokenizer.added_tokens.items()}
    ends = [names[n] for n in stop_ids(model.tokenizer, model.generation) if n in names]
    quoted = " or ".join(f"`{_line(end).replace('`', '')}`" for end in ends)
    stops = f"; it ends what it writes by {quoted}" if ends else ""
    return f"It takes messages in the form of its chat template, `chat_template.jinja`{stops}."


Rows = list[tuple[str, str]]


def _sections(run: RunRecord, step: int) -> Iterator[tuple[str, Rows]]:
    yield "Where it comes from", _origin(run)
    yield "What it learnt from", _data(run)
    yield "How well", _results(run, step)
    yield "How it was trained", _training(run, step)


def _origin(run: RunRecord) -> Rows:
    rows = []
    if source := run.manifest.source:
        at = f" at {source.revision}" if source.revision else ""
        rows.append(("Imported from", _line(f"{source.name}{at} ({source.format})")))
    if base := run.manifest.origin:
        rows.append(("Trained on from", _line(base.name or base.run or "")))
    return rows


def _line(text: object) -> str:
    """Return somebody else's text as one line."""
    return " ".join(str(text).split())


def _data(run: RunRecord) -> Rows:
    data = run.manifest.data
    is_assistant = run.manifest.kind == ASSISTANT
    what, one = ("Records", "record") if is_assistant else ("Texts", "text")
    rows = [(what, ", ".join(map(str, data.sources or [])))]
    for label, tokens, size, texts in (
        ("Training", data.train_tokens, data.train_bytes, data.train_documents),
        ("Validation", data.val_tokens, data.val_bytes, data.val_documents),
    ):
        if tokens is not None:
            other = counted(texts or 0, one) if size is None else f"{size:,} bytes"
            rows.append(
                (
                    f"{label} {what.lower()}" if is_assistant else f"{label} text",
                    f"{tokens:,} tokens, {other}",
                )
            )
    if mixed := _settings(run).get("mix_text"):
        share = number(_settings(run).get("mix_share"))
        rows.append(("Text learnt beside them", f"{_line(mixed)}, {share:.0%} of what counts"))
    rows.append(("Split", data.split_rule or ""))
    return [row for row in rows if row[1]]


def _results(run: RunRecord, step: int) -> Rows:
    """Return the losses of the weights, on the whole validation text where that was measured."""
    labels = {
        "val_loss": f"Validation loss, {run.loss_name.replace(' per ', ' a ', 1)}",
        "val_reward": "Validation questions answered right",
        "val_pair_accuracy": "Validation pairs of which the chosen reply is preferred",
        "val_accuracy": "Validation accuracy",
        "val_macro_f1": "Validation macro F1",
        "val_perplexity": "Validation perplexity"
        + " of replies" * (run.manifest.kind == ASSISTANT),
        "val_bits_per_byte": "Validation bits per byte",
    }
    is_end = run.last_event.get("step") == step and "val_loss" in run.last_event
    measured = [run.last_event] if is_end else [row for row in run.rows if row["step"] == step]
    n_tokens, asked = run.manifest.data.val_tokens, (run.manifest.train or {}).get("eval_tokens")
    part = "" if is_end or not asked or asked >= (n_tokens or 0) else f" (about {asked:,} tokens)"
    found = [
        (label + part, f"{row[key]:.4f}")
        for row in measured
        for key, label in labels.items()
        if isinstance(row.get(key), float)
    ]
    return found + _tested(run, step)


def _tested(run: RunRecord, step: int) -> Rows:
    """Return what the test showed, where it was of these weights."""
    folder, saved = RunFolder(run.path), run.manifest.saved
    merged = ", before it was merged with its base" if saved and saved.from_ else ""
    if (asked := read_assistant(folder.assistant)) and asked.step == step:
        return _answered(asked, merged)
    record = read_classification(folder.classification)
    if record is None or record.step != step:
        return []
    test = record.test
    rows = [
        ("Test", counted(test.examples, "text") + merged),
        ("Test accuracy", _within(test.accuracy, test.accuracy_interval)),
        ("Test macro F1", _within(test.macro_f1, test.macro_f1_interval)),
    ]
    rows += [
        (f"Beside it, {one.title}", f"accuracy {it.accuracy:.4f}, macro F1 {it.macro_f1:.4f}")
        for one in record.baselines.values()
        if (it := one.figures) is not None
    ]
    return rows


def _answered(record: AssistantRecord, merged: str) -> Rows:
    """Return how an assistant answered before and after."""
    asked, rows = record.asked, _of_pairs(record, merged)
    whose = "chosen replies" if record.pairs else "replies"
    for when, one in (("before training", record.before), ("after", record.after)):
        if one is None:
            continue
        rows.append((f"Test loss {when}, nats a token of the {whose}", f"{one.loss:.4f}"))
        if one.replies:
            told, kinds = f"Test, exact match {when}", len(one.replies.kinds)
            of = counted(asked.questions, "question") + f" of {kinds} kinds" * (kinds > 1)
            exact = _within(one.replies.exact, one.replies.exact_interval)
            rows.append((told, f"{exact} of {of}{merged}"))
            shared = _within(one.replies.token_f1, one.replies.token_f1_interval)
            rows.append((f"Test, token F1 {when}", shared))
        if one.ended:
            share = _within(one.ended.share, one.ended.interval)
            rows.append((f"Replies that end by themselves {when}", share))
        if one.bits_per_byte is not None:
            name = _line(asked.general_text or UNKNOWN)
            rows.append((f"Bits per byte on {name} {when}", f"{one.bits_per_byte:.4f}"))
        if one.task:
            name = f"{_line(asked.general_task or UNKNOWN)}, acc {when}"
            rows.append((name, f"{_within(one.task.accuracy, one.task.interval)}"))
    return rows + _judged(record, merged)


def _judged(record: AssistantRecord, merged: str) -> Rows:
    """Return what a judge preferred, if one was asked."""
    found = record.judgement
    if found is None or found.win_rate is None or found.interval is None:
        return Rows()
    share = _within(found.win_rate, found.interval)
    told = f"{share} of {counted(found.counts, 'question')}, ties counting half{merged}"
    return [(f"Replies preferred to those before training, by {_line(found.model)}", told)]


def _of_pairs(record: AssistantRecord, merged: str) -> Rows:
    """Return what both models made of the test's preferences, if it has any."""
    rows, found = Rows(), record.pairs
    if found is None:
        return rows
    for when, one in (("before training", found.before), ("after", found.after)):
        if one is not None:
            of = f"of {counted(found.pairs, 'pair')}{merged}"
            right = _within(one.accuracy, one.interval)
            rows.append((f"Test, the chosen reply preferred {when}", f"{right} {of}"))
            rows.append((f"Test loss of {found.objective} {when}", f"{one.loss:.4f}"))
    return rows


def _within(value: float, interval: Interval) -> str:
    low, high = interval
    return f"{value:.4f} (95% interval: {low:.4f} to {high:.4f})"


def _training(run: RunRecord, step: int) -> Rows:
    if not run.rows:
        return []
    train, config = run.manifest.train or {}, run.config
    row: dict[str, Any] = next((r for r in reversed(run.rows) if r["step"] <= step), {})
    tokens, rate = row.get("tokens"), number(train.get("learning_rate"))
    sequences = int(train.get("batch_size", 0)) * int(train.get("accumulation", 1))
    varied = objective_of(run.manifest) in (*OF_PAIRS, GRPO)
    if run.manifest.kind == CLASSIFIER or varied:  # whose texts differ in length
        sequences = 0
    length = _settings(run).get("row_length", config.context_length)
    rows = [
        ("Steps", f"{step:,}" + (f" of a run of {run.step:,}" if run.step > step else "")),
        ("Tokens seen", f"{tokens:,}" if tokens else ""),
        ("Peak learning rate", f"{rate:.4g}, schedule {train.get('schedule', UNKNOWN)}"),
        ("Tokens a step", f"{sequences * length:,}" if sequences else ""),
        ("Number format", str(train.get("precision", ""))),
        ("Hardware", _hardware(run.manifest.machine or MachineTable())),
        ("Time", duration(row["seconds"]) if row.get("seconds") else ""),
        ("Software", ", ".join(f"{k} {v}" for k, v in (run.manifest.versions or {}).items())),
    ]
    return [row for row in rows if row[1]]


def _settings(run: RunRecord) -> dict[str, Any]:
    """Return the settings of the job itself."""
    return (run.manifest.job and run.manifest.job.settings) or {}


def _hardware(machine: MachineTable) -> str:
    cores = f"{machine.cores} cores" if machine.cores else None
    return ", ".join(part for part in (machine.gpu, machine.cpu, cores) if part)


def _licence(run: RunRecord, said: str | None) -> str:
    if said:
        return f"`{_line(said)}`, as stated by whoever exported it."
    source, base = run.manifest.source, run.manifest.origin
    if source and source.licence:
        return f"`{_line(source.licence)}`, as stated by the model it comes from."
    theirs = f" (`{_line(base.licence)}`)" if base and base.licence else ""
    return (
        f"Not stated. The licences of the texts and of any model it was trained on from{theirs} "
        "apply; state one before you publish it."
    )


def _list(rows: Rows) -> str:
    return "\n".join(f"- {label}: {value}" for label, value in rows)
