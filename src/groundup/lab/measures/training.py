"""Trains an arm by the one training loop: AdamW at a fixed rate, nothing written to disk.

A training that is no longer finite is told as lost and is no error: that an arm is lost can be what
an experiment shows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from groundup.config import GPTConfig, TrainConfig
from groundup.lab.experiment import Setting, Values
from groundup.lab.measures.text import LabText, read_text
from groundup.model import GPT, Parts
from groundup.processes.alone import ALONE
from groundup.train.api import InPython
from groundup.train.driver import drive
from groundup.train.health import DivergedError
from groundup.train.listener import Screen
from groundup.train.recorder import Keeper

PLAIN: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "grad_clip": 1.0,
    "batch_size": 16,
    "device": "cpu",
    "precision": "fp32",
    "compile": "off",
    "threads": 1,
    "allocator": "system",
    "checkpoint_activations": "off",
    "sample_tokens": 0,
}
"""What trainings of an experiment have in common, unless it says otherwise.

One optimizer with one rate from the first step to the last: the default has two, which rise and
fall, and each would hide a part of what is asked.
"""
CURVE_POINTS = 60
LAST_SHARE = 0.1
"""The part of a training whose mean loss is its final training loss."""
TRAINS_BELOW = 0.1
"""A training works if it ends so many nats below the text's unigram entropy."""

Until = Callable[[Sequence[float]], bool]
"""Tells by the losses of all steps so far whether a training has gone on for long enough."""


def train_arm(setting: Setting) -> Values:
    """Train the model of a setting and return how it went.

    train_loss: mean over the last tenth, in nats a token; val_loss: over the validation text;
    trains: whether train_loss is clearly below the unigram entropy; lost: whether it was no longer
    finite (the losses are infinite then); curve: its losses, each the mean over the few steps that
    end at the step given in curve_steps; cpu_seconds: the time that this process computed.
    """
    return trained(setting)[1]


def trained(
    setting: Setting, text: LabText | None = None, until: Until | None = None
) -> tuple[GPT, Values]:
    """Do as `train_arm`, and return the trained model, too.

    `text` is the setting's if not given. A training ends early, with an infinite val_loss, after
    the step at which `until` says so of the losses of all steps.
    """
    text = read_text(setting.text) if text is None else text
    model = new_model(setting)
    recorder = _Recorder(until)
    job = InPython(model, text.tokenizer, text.splits, settings_of(setting.train))
    lost, began = False, time.process_time()
    try:
        drive(job, Keeper(), recorder, ranks=ALONE)
    except DivergedError:
        lost = True
    except _EnoughError:
        recorder.val_loss = math.inf  # known is that of the untrained model
    model.eval()
    return model, {**recorder.values(text, lost), "cpu_seconds": time.process_time() - began}


def settings_of(train: TrainConfig) -> TrainConfig:
    """Return the settings of a training with one validation, at its end."""
    return replace(train, eval_every=train.steps, eval_tokens=None)


def new_model(setting: Setting) -> GPT:
    """Return the untrained model of a setting; its seed determines every parameter.

    It starts with the tensors that the study's first arm has with this seed, where names and shapes
    agree; then the arm's own `start` changes what it likes, from the same seed again.
    """
    seed, own = setting.cell.seed, (setting.config, setting.parts)
    model = _drawn(*own, seed)
    if setting.reference != own:
        _share(model, _drawn(*setting.reference, seed))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        setting.start(model)
    return model


def _share(model: GPT, reference: GPT) -> None:
    drawn = dict(reference.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in drawn and drawn[name].shape == parameter.shape:
                parameter.copy_(drawn[name])


def _drawn(config: GPTConfig, parts: Parts, seed: int) -> GPT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT(config, parts=parts)


class _EnoughError(Exception):
    """A training has shown what was asked of it."""


class _Recorder(Screen):
    """Keeps the losses of a training, and ends it where `until` says so."""

    def __init__(self, until: Until | None) -> None:
        self.until = until
        self.losses: list[float] = []
        self.val_loss = math.inf

    def metrics(self, record: dict[str, Any]) -> None:
        if "train_loss" in record:
            # In a long training a line tells the mean of several steps.
            self.losses += [record["train_loss"]] * (record["step"] - len(self.losses))
            if self.until and self.until(self.losses):
                raise _EnoughError
        self.val_loss = record.get("val_loss", self.val_loss)

    def values(self, text: LabText, lost: bool) -> Values:
        last = self.losses[-max(1, round(len(self.losses) * LAST_SHARE)) :]
        loss = math.inf if lost or not last else sum(last) / len(last)
        every = max(1, len(self.losses) // CURVE_POINTS)
        ends = range(every, len(self.losses) + 1, every)
        return {
            "train_loss": loss,
            "val_loss": math.inf if lost else self.val_loss,
            "trains": loss < text.unigram_entropy - TRAINS_BELOW,
            "lost": lost,
            "curve_steps": list(ends),
            "curve": [sum(self.losses[end - every : end]) / every for end in ends],
            "unigram_entropy": text.unigram_entropy,
        }
