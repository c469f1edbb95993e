"""What all contestants begin with: the dialogues of every step, and adapters.

`start.npz` has, of each step, `row_ids-STEP` and `row_labels-STEP` (dialogues, tokens), a dialogue
a row, as the peer reads them, and `tokens-STEP`, `targets-STEP`, `positions-STEP`, `lengths-STEP`,
the same packed, as ours does.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.assistant.speed_ours import model_of
from benchmarks.assistant.talks import LONGEST, dialogues
from benchmarks.beside.ours import write_adapters
from benchmarks.beside.peer import PAD
from benchmarks.beside.turns import UNTIMED, folder_of
from benchmarks.cells import answer
from benchmarks.turns import Record
from groundup.data.batch import IGNORED
from groundup.finetune.assistant.packing import PackedRows
from groundup.generate.replies import DialogueIds
from groundup.generate.run_settings import run_template
from groundup.runs.load import load

Sets = list[list[DialogueIds]]
"""The dialogues of each step."""


def sets_of(how: str, found: Sequence[DialogueIds], batch: int, steps: int) -> Sets:
    """Return the dialogues of each step, those with most tokens first.

    Of "mixed" sets each is what stands in `batch` packed rows of all dialogues, the fullest first.
    Else all are sorted by length, and sets are neighbours, first the longest, then evenly spread
    over all lengths: in "alike" ones as many as `batch` rows hold, in "one" a dialogue alone.
    """
    if how == "mixed":
        source = PackedRows(found, LONGEST, batch, seed=1)
        rows = source.order.rows(0, batch * steps).reshape(steps, batch)
        return [[found[n] for row in step for n in source.packs[row]] for step in rows]
    ordered = sorted(found, key=lambda one: -len(one.ids))
    sets: Sets = []
    begin = 0
    while begin + batch <= len(ordered):
        n = 1 if how == "one" else _most(ordered[begin:], batch)
        sets.append(ordered[begin : begin + n])
        begin += n
    first, rest = sets[:UNTIMED], sets[UNTIMED:]
    timed = steps - UNTIMED
    return first + [rest[(2 * n + 1) * len(rest) // (2 * timed)] for n in range(timed)]


def _most(ordered: Sequence[DialogueIds], rows: int) -> int:
    """Return how many of the first dialogues fill so many rows."""
    n = rows
    while n < len(ordered) and PackedRows(ordered[: n + 1], LONGEST, rows, seed=0).n_rows <= rows:
        n += 1
    return n


def side_by_side(dialogues: Sequence[DialogueIds], batch: int) -> Record:
    """Return dialogues packed into `batch` rows, as `InstructStep` takes them."""
    source = PackedRows(dialogues, LONGEST, batch, seed=0)
    assert source.n_rows == batch, f"{source.n_rows} rows, not {batch}"
    return dict(source.rows(0, batch).arrays)


def one_a_row(dialogues: Sequence[DialogueIds]) -> Record:
    """Return ids and labels (dialogues, tokens) as trl collates them; the model shifts labels."""
    shape = len(dialogues), max(len(one.ids) for one in dialogues)
    ids, labels = np.full(shape, PAD, np.int64), np.full(shape, IGNORED, np.int64)
    for row, one in enumerate(dialogues):
        ids[row, : len(one.ids)] = one.ids
        labels[row, : len(one.ids)] = np.where(one.counts, one.ids.astype(np.int64), IGNORED)
    return {"row_ids": ids, "row_labels": labels}


def result(job: Record) -> Record:
    """Write the start of a case; return how many tokens each step has, and the peer's padding."""
    folder = folder_of(job)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    loaded = load(Path(job["work"]) / job["base"])
    template = run_template(loaded)
    assert template is not None, "it can be talked with"
    found = dialogues(Path(job["work"]) / job["records"], template, loaded.tokenizer)
    arrays: dict[str, Any] = {}
    tokens, n_places = [], 0
    for step, chosen in enumerate(sets_of(job["sets"], found, job["batch"], job["steps"])):
        both = side_by_side(chosen, job["batch"]) | one_a_row(chosen)
        arrays |= {f"{name}-{step}": array for name, array in both.items()}
        tokens.append(sum(one.n_read for one in chosen))
        arrays[f"read-{step}"] = np.array(tokens[-1])
        n_places += both["row_ids"][:, 1:].size
    np.savez(folder / "start.npz", **arrays)
    model = model_of(job)
    write_adapters(dict(model.named_parameters()), model.config, job)
    return {"tokens": tokens, "dialogues": len(found), "peer_padding": 1 - sum(tokens) / n_places}


if __name__ == "__main__":
    answer(result)
