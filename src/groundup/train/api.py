"""Training in a few lines of Python: a model, a tokenizer, a string."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console

from groundup.base.errors import DataError
from groundup.base.signals import Requests
from groundup.config import TrainConfig, build
from groundup.data import TokenSplit
from groundup.model import GPT
from groundup.tokenizer import Tokenizer
from groundup.train.assemble import assemble
from groundup.train.choices import choose
from groundup.train.listener import Listener
from groundup.train.screen import ConsoleScreen

VALIDATION_SHARE = 0.1


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
    show: bool = True,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Train `model` in place on `text` and return the metrics, a dictionary a step.

    The last tenth of the text validates. `settings` are the fields of `TrainConfig`: steps,
    batch_size, learning_rate … Progress is shown in a terminal or a notebook unless `show` is
    False; Ctrl-C stops at the next step and keeps what was learnt. Nothing is written to disk:
    `train_run` is for that. Raises `DataError` for a text shorter than one context.
    """
    choices = choose(build(TrainConfig, settings), model.config)
    ids = tokenizer.encode_array(text)
    n_train = int(len(ids) * (1 - VALIDATION_SHARE))
    if n_train <= model.config.context_length:
        raise DataError(
            f"the text has {len(ids):,} tokens, of which {n_train:,} are for training: expected "
            f"more than context_length = {model.config.context_length:,}; give more text or a "
            "smaller context_length"
        )
    train_split, val_split = (
        TokenSplit.from_array(part, _bytes(tokenizer, part)) for part in np.split(ids, [n_train])
    )
    history = _History()
    listeners: list[Listener] = [history]
    screen = ConsoleScreen(Console(highlight=False))
    screen.steps = choices.config.steps
    if show:
        listeners.append(screen)
    try:
        with choices.in_force(), Requests() as requests:
            trainer = assemble(model, tokenizer, train_split, val_split, choices, listeners)
            requests.patient = True
            trainer.fit(requests)
    finally:
        screen.close()
    model.eval()
    return history.records


def _bytes(tokenizer: Tokenizer, ids: np.ndarray[Any, Any]) -> int:
    return len(tokenizer.decode(ids.tolist()).encode())
