"""Training in a few lines of Python: a model, a tokenizer, a string; or a request."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from groundup.base.console import HarmlessConsole
from groundup.base.errors import ConfigError, DataError, UsageError, nearest, shown
from groundup.base.files import new_path
from groundup.base.signals import Requests
from groundup.config import TrainConfig, as_table, build
from groundup.config.fields import field_types
from groundup.config.other_names import SETTINGS, by_other_name
from groundup.data import TokenSplit
from groundup.model import GPT, shapes_of
from groundup.plan import Plan, make_plan
from groundup.processes.alone import ALONE
from groundup.runs import RunFolder, read_lines
from groundup.runs.generation import with_end_of_text
from groundup.runs.load import fill
from groundup.runs.pair import check_pair
from groundup.runs.save import check_made_by_config
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.arguments import check_content, check_text
from groundup.train.choices import Choices
from groundup.train.driver import TrainRun, drive
from groundup.train.listener import Listener, Screen
from groundup.train.pretraining import NextToken, Pretraining, steps_of
from groundup.train.progress import Progress
from groundup.train.recorder import Keeper, Recorder
from groundup.train.request import TrainRequest
from groundup.train.resume import IN_PYTHON, Identity
from groundup.train.screen import ConsoleScreen

VALIDATION_SHARE = 0.1
HASHED_AT_ONCE = 1 << 20
"""Tokens, so that a long text is not copied whole."""
REMEDY = "repeat its own call to go on with it, or choose another folder as run"
BESIDE_SETTINGS = ("epochs", "run", "listeners", "show")
OTHER_NAMES = SETTINGS | by_other_name(
    {
        "listeners": "callbacks callback hooks hook loggers logger",
        "run": "output_dir out_dir save_dir log_dir run_dir folder path",
        "show": "verbose progress progress_bar quiet silent",
    }
)
"""What others call the arguments of `train`."""


def train(
    model: GPT,
    tokenizer: Tokenizer,
    text: str,
    *,
    epochs: float | None = None,
    run: str | Path | None = None,
    listeners: Sequence[Listener] = (),
    show: bool = True,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Train `model` in place on `text` and return the metrics, a dictionary a step.

    The last tenth of the text validates. `settings` are the fields of `TrainConfig`: steps,
    batch_size, learning_rate … `epochs` in place of steps counts passes over the training tokens.
    `listeners` hear what happens (see `Listener`). Progress is shown in a terminal or a notebook
    unless `show` is False; Ctrl-C stops at the next step and keeps what was learnt.

    `run` is a folder in which settings, metrics, samples, checkpoints and a report are kept, as
    every verb takes it; the same call again goes on where it stopped. Without it nothing is written
    to disk. Raises `DataError` for a text shorter than one context, `UsageError` for a folder that
    holds something else.
    """
    check_pair(model, tokenizer, "train")
    check_text(text, "train")
    check_content(text, "train")
    check_listeners(listeners)
    check_learns(model)
    splits = _split(tokenizer, text, model.config.context_length)
    asked = _settings(settings, epochs, splits[0].n_tokens, model.config.context_length)
    if asked.adapts:
        raise UsageError(
            f"method = {asked.method!r}: give the model its adapters before, by groundup.adapters."
            "attach(model, ...), and make them part of it afterwards, by merge(model)"
        )
    keeper = Keeper() if run is None else _recorder(RunFolder(Path(run)), model)
    screen = InMemory(keeper.folder, show)
    shown = [screen.console] if show else []
    job = InPython(model, tokenizer, splits, asked)
    try:
        done = drive(job, keeper, screen, ranks=ALONE, listeners=[*shown, *listeners])
        if done.was_finished:
            _take_over(model, keeper, done.progress)
            screen.resumed(done.progress)
    finally:
        screen.console.close()
        model.eval()
    return screen.records


def train_run(
    request: TrainRequest,
    screen: Screen,
    started: float | None = None,
    requests: Requests | None = None,
) -> TrainRun:
    """Train as requested, or go on where the same request stopped; return how it ended.

    `requests` are what signals have asked for since the process began, where somebody listened. A
    process that a launcher started as one of several trains together with the others.

    Raises `UsageError` when the folder holds a run of other settings, `RunError` when it is in use
    or damaged, and whatever the text, the machine or the disk give reason to.
    """
    return drive(Pretraining(request), Recorder(request.folder), screen, started, requests)


class InPython(NextToken):
    """A training of a model in memory, on a text in memory."""

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        splits: tuple[TokenSplit, TokenSplit],
        settings: TrainConfig,
    ) -> None:
        self.given, self.tokenizer, self.splits, self.settings = model, tokenizer, splits, settings
        self.config = model.config
        self.n_tokens = splits[0].n_tokens

    def model(self, seed: int) -> GPT:
        """Return the given model, as it is."""
        return self.given

    def plan(self, settings: TrainConfig) -> Plan:
        """Return what the training takes; of the model as it is, whatever parts it has."""
        shapes = shapes_of(self.given)
        return make_plan(self.config, settings, train_tokens=self.n_tokens, parameters=shapes)

    def identity(self) -> Identity:
        """Return the call: every setting, the model's shape, and the text as tokens."""
        request = {
            "command": IN_PYTHON,
            "model": as_table(self.config),
            "train": as_table(self.settings),
            "data": {"fingerprint": self._fingerprint},
        }
        return Identity(request=request, changeable=(), refusal=_another_training)

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self.tokenizer.fingerprint.encode())
        for split in self.splits:
            for first in range(0, split.n_tokens, HASHED_AT_ONCE):
                ids = split.read(first, min(HASHED_AT_ONCE, split.n_tokens - first))
                digest.update(ids.astype("<u4").tobytes())
        return digest.hexdigest()[:16]

    def data_table(self) -> dict[str, Any]:
        """Return the sizes of the text, which itself is not kept."""
        sizes: dict[str, int] = {}
        for name, split in zip(("train", "val"), self.splits, strict=True):
            sizes |= {f"{name}_tokens": split.n_tokens, f"{name}_bytes": split.n_bytes}
        return {
            "sources": ["a text in Python"],
            "fingerprint": self._fingerprint,
            "tokenizer": self.tokenizer.kind,
            "tokenizer_fingerprint": self.tokenizer.fingerprint,
            "vocab_size": self.tokenizer.vocab_size,
            "split_rule": "the last tenth of the tokens validates",
            **sizes,
        }

    def write(self, folder: RunFolder) -> None:
        """Write the tokenizer."""
        self.tokenizer.save(folder.tokenizer)
        folder.write_chat_settings(None, with_end_of_text({}, self.tokenizer.given_end))


class InMemory(Screen):
    """Keeps the metrics in memory, and shows on a console what is to be shown."""

    def __init__(self, folder: RunFolder, show: bool) -> None:
        self.folder, self.show = folder, show
        self.console = ConsoleScreen(HarmlessConsole())
        self.records: list[dict[str, Any]] = []

    def notice(self, text: str) -> None:
        """Show one line the user should know, or warn of it."""
        if self.show:
            self.console.notice(text)
        else:
            warnings.warn(text, stacklevel=2)

    def planned(self, plan: Plan, choices: Choices, folder: RunFolder) -> None:
        """Note how many steps there will be."""
        self.console.steps = choices.config.steps
        self.console.tells_speed = plan.flops_per_token != 0

    def decided(self, label: str, text: str) -> None:
        """Show what was chosen."""
        if self.show:
            self.console.decided(label, text)

    def example(self, where: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """Show an example as the model sees it."""
        if self.show:
            self.console.example(where, pieces)

    def resumed(self, progress: Progress) -> None:
        """Say where training goes on."""
        self.notice(
            f"goes on from step {progress.step} in {self.folder.path}, with the weights kept there"
        )
        self.records = list(read_lines(self.folder.metrics))

    def metrics(self, record: dict[str, Any]) -> None:
        """Keep a line of figures."""
        self.records.append(record)


def _recorder(folder: RunFolder, model: GPT) -> Recorder:
    """Return what keeps the training in a folder: a new one, or that of a call like this one."""
    check_made_by_config(model)
    if folder.exists():
        request = folder.read().request
        if request is None or request.command != IN_PYTHON:
            raise UsageError(
                f"{folder.path} holds a model that train() did not make; choose another folder as "
                "run, and train on from it with the model of load()"
            )
    elif not folder.lock.exists():
        new_path(folder.path)
    return Recorder(folder)


def _another_training(folder: RunFolder, said: str, made: str) -> str:
    return f"{folder.path} holds another training ({said}); {REMEDY}"


def _take_over(model: GPT, keeper: Keeper, progress: Progress) -> None:
    """Give the model the weights of a training that had come to its end before."""
    settings, checkpoint = keeper.decided(), keeper.checkpoint(progress.step)
    assert settings is not None, "it is kept"
    assert checkpoint is not None, "it is kept"
    parameters = dict(model.to(settings.device).named_parameters())
    fill(parameters, checkpoint.model_tensors(), checkpoint.path)


def _split(tokenizer: Tokenizer, text: str, context_length: int) -> tuple[TokenSplit, TokenSplit]:
    """Return the first nine tenths of the tokens, and the last, which validates."""
    ids = tokenizer.encode_array(text)
    n_train = int(len(ids) * (1 - VALIDATION_SHARE))
    if n_train <= context_length:
        raise DataError(
            f"the text has {len(ids):,} tokens, of which {n_train:,} are for training: expected "
            f"more than context_length = {context_length:,}; give more text or a smaller "
            "context_length"
        )
    first, last = (
        TokenSplit.from_array(part, len(tokenizer.decode(part.tolist()).encode()))
        for part in np.split(ids, [n_train])
    )
    return first, last


def _settings(
    settings: dict[str, Any], epochs: float | None, n_tokens: int, context_length: int
) -> TrainConfig:
    accepted = field_types(TrainConfig)
    for key in settings.keys() - accepted.keys():
        hint = nearest(key, [*accepted, *BESIDE_SETTINGS], OTHER_NAMES)
        raise ConfigError(f"train: unknown argument '{shown(key)}'; {hint}")
    if epochs is None:
        return build(TrainConfig, settings)
    for other in ("steps", "minutes"):
        if other in settings:
            raise UsageError(f"epochs = {epochs} and {other} = {settings[other]}: give one of them")
    if isinstance(epochs, bool) or not isinstance(epochs, int | float) or not 0 < epochs < 1e6:
        raise UsageError(f"epochs = {epochs!r}: expected a positive number of passes")
    tokens_per_step = build(TrainConfig, settings).sequences_per_step * context_length
    return build(TrainConfig, {**settings, "steps": steps_of(epochs, n_tokens, tokens_per_step)})


def check_listeners(listeners: object) -> None:
    """Refuse what hears nothing."""
    heard = listeners if isinstance(listeners, list | tuple) else [None]
    if not all(isinstance(listener, Listener) for listener in heard):
        raise TypeError(
            "listeners: expected a list of groundup.train.Listener objects; write a class derived "
            "from Listener, with a method metrics(self, record), and give [MyListener()]"
        )


def check_learns(model: GPT) -> None:
    """Refuse a model of which nothing can learn."""
    if any(hasattr(module, "n_quantized") for module in model.modules()):
        raise UsageError(
            "the model's weights are quantised, which do not learn; train the model that it was "
            "made from"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError(
            "none of the model's parameters learns: all have requires_grad = False; write "
            "model.requires_grad_() before"
        )
