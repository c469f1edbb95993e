"""Training in a few lines of Python: a model, a tokenizer, a string."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from groundup.base.errors import ConfigError, DataError, UsageError, nearest, shown
from groundup.base.signals import Requests
from groundup.config import TrainConfig, build
from groundup.config.fields import field_types
from groundup.config.other_names import SETTINGS, by_other_name
from groundup.data import TokenSplit
from groundup.model import GPT
from groundup.runs.pair import check_pair
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.arguments import check_content, check_text
from groundup.train.assemble import assemble
from groundup.train.epochs import steps_of
from groundup.train.keep import Splits, Unkept, kept
from groundup.train.listener import Listener
from groundup.train.screen import ConsoleScreen

VALIDATION_SHARE = 0.1
BESIDE_SETTINGS = ("epochs", "run", "listeners", "show")
OTHER_NAMES = SETTINGS | by_other_name(
    {
        "listeners": "callbacks callback hooks hook loggers logger",
        "run": "output_dir out_dir save_dir log_dir run_dir folder path",
        "show": "verbose progress progress_bar quiet silent",
    }
)
"""What others call the arguments of `train`."""


class _History(Listener):
    """Keeps the metrics in memory."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def metrics(self, record: dict[str, Any]) -> None:
        self.records.append(record)


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
    _check_listeners(listeners)
    _check_learns(model)
    splits = _split(tokenizer, text, model.config.context_length)
    asked = _settings(settings, epochs, splits[0].n_tokens, model.config.context_length)
    screen, history = ConsoleScreen(Console(highlight=False)), _History()
    heard = [history, *([screen] if show else []), *listeners]
    notice = screen.notice if show else warnings.warn
    try:
        with (
            kept(run, model, tokenizer, splits, asked, notice) as keeper,
            keeper.choices.in_force(),
            Requests() as requests,
        ):
            screen.steps = keeper.choices.config.steps
            _fit(model, tokenizer, splits, keeper, heard, requests)
    finally:
        screen.close()
        model.eval()
    return keeper.earlier + history.records


def _fit(
    model: GPT,
    tokenizer: Tokenizer,
    splits: Splits,
    keeper: Unkept,
    heard: Sequence[Listener],
    requests: Requests,
) -> None:
    listeners = [*keeper.listeners, *heard]
    trainer = assemble(model, tokenizer, *splits, keeper.choices, listeners, **keeper.expected())
    if keeper.begin(trainer):
        requests.patient = True
        trainer.fit(requests)
    keeper.end()


def _split(tokenizer: Tokenizer, text: str, context_length: int) -> Splits:
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


def _check_listeners(listeners: object) -> None:
    heard = listeners if isinstance(listeners, list | tuple) else [None]
    if not all(isinstance(listener, Listener) for listener in heard):
        raise TypeError(
            "listeners: expected a list of groundup.train.Listener objects; write a class derived "
            "from Listener, with a method metrics(self, record), and give [MyListener()]"
        )


def _check_learns(model: GPT) -> None:
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
