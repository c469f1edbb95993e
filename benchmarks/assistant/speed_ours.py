"""One turn of ours: whole optimizer steps on packed rows by the package's own `Trainer.fit`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.assistant.talks import LONGEST
from benchmarks.beside.ours import chosen, clocked, settings_of
from benchmarks.beside.turns import ALPHA, RANK, folder_of, speed_of
from benchmarks.cells import answer
from benchmarks.turns import Record
from groundup.adapters import attach
from groundup.config import TrainConfig
from groundup.data.batch import IGNORED, Batch
from groundup.finetune.replies.step import InstructStep
from groundup.finetune.settings import instruct_defaults
from groundup.model import GPT
from groundup.plan import Packed, Plan, make_plan
from groundup.plan.units import MIB
from groundup.runs.load import load
from groundup.train import choose

ARRAYS = ("tokens", "targets", "positions", "lengths")


def model_of(job: Record) -> GPT:
    """Return the model with new adapters, where these learn: the same ones each time."""
    model = load(Path(job["work"]) / job["base"]).model.requires_grad_()
    if job["method"] == "lora":
        attach(model, "lora", RANK, ALPHA, seed=1)
    return model


class Kept:
    """A source of the batches that were written for every step."""

    def __init__(self, job: Record) -> None:
        start = np.load(folder_of(job) / "start.npz")
        self.batches = []
        self.tokens = [int(start[f"read-{step}"]) for step in range(job["steps"])]
        for step in range(job["steps"]):
            arrays = {name: start[f"{name}-{step}"] for name in ARRAYS}
            self.batches.append(Batch(arrays, int(arrays["lengths"].sum())))

    @property
    def n_rows(self) -> int:
        """Rows of all steps."""
        return sum(batch.n_rows for batch in self.batches)

    @property
    def n_tokens(self) -> int:
        """Tokens that all steps compute, padding not among them."""
        return sum(batch.n_tokens for batch in self.batches)

    @property
    def n_targets(self) -> int:
        """Targets that count, of all steps."""
        return sum(int((batch.arrays["targets"] != IGNORED).sum()) for batch in self.batches)

    @property
    def padding(self) -> float:
        """Which part of the places in all rows is padding."""
        return 1 - self.n_tokens / sum(batch.arrays["tokens"].size for batch in self.batches)

    @property
    def counted(self) -> float:
        """The largest share of the places of full rows whose targets count, of any step."""
        targets = (batch.arrays["targets"] != IGNORED for batch in self.batches)
        return max(float(each.sum()) / (len(each) * LONGEST) for each in targets)

    def rows(self, first: int, n: int) -> Batch:
        """Return the rows of a step."""
        return self.batches[first // n]


def result(job: Record) -> Record:
    """Train; return the speed after the untimed steps, the losses and the peak memory."""
    source, model = Kept(job), model_of(job)
    widest = model.config.replace(context_length=LONGEST)

    def plan(settings: TrainConfig) -> Plan:
        how = Packed(counted=source.counted)
        return make_plan(widest, settings, train_tokens=source.n_tokens, packed=how)

    choices = choose(settings_of(job, instruct_defaults()), widest, own_process=True)
    c = choices.config
    step = InstructStep(model, c.loss, c.balance_loss, c.loss_chunk, choices.copy_dtype)
    with choices.in_force():
        clock = clocked(step, source, choices)
    return speed_of(clock.ticks, clock.losses, source.tokens) | {
        "planned_mib": plan(c).memory["total"] / MIB,
        "padding": source.padding,
        "choices": chosen(choices),
    }


if __name__ == "__main__":
    answer(result)
