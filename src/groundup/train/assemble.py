"""Puts model, data, loss and evaluation together into a `Trainer`."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from groundup.data import Batches, TokenSplit
from groundup.evaluate import Evaluation, evaluate_loss
from groundup.generate import stream
from groundup.model import GPT
from groundup.optim.step import TrainStep
from groundup.processes.alone import ALONE, Alone
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.interface import REPLACEMENT
from groundup.train.choices import Choices
from groundup.train.duties import Between
from groundup.train.listener import Listener
from groundup.train.loop import Trainer

EVALUATED_AT_ONCE = 4096
"""Validation tokens that go through the model together, where a training batch has fewer."""
PROMPT_CHARACTERS = 24
"""Least length of a prompt taken from the validation text; it goes on to the end of the word."""


def assemble(
    model: GPT,
    tokenizer: Tokenizer,
    train: TokenSplit,
    val: TokenSplit,
    choices: Choices,
    listeners: list[Listener],
    started: float | None = None,
    world: Alone = ALONE,
    **more: Any,
) -> Trainer:
    """Return a `Trainer` of `model` at step 0; it is told `more`."""
    settings = choices.config
    model.to(choices.device)
    batches = Batches(
        train,
        model.config.context_length,
        settings.batch_size,
        settings.seed,
        order=settings.order,
        stride=settings.stride,
    )
    prompt = settings.sample_prompt or prompt_from(tokenizer, val)

    windows = max(settings.batch_size, EVALUATED_AT_ONCE // model.config.context_length)

    def evaluate(max_tokens: int | None, between: Between) -> Evaluation | None:
        if val.n_tokens < 2:
            return None
        # The last one, of the whole split, is what `groundup evaluate` will find: in fp32.
        with choices.autocast() if max_tokens else contextlib.nullcontext():
            return world.within(
                lambda: evaluate_loss(
                    model,
                    val,
                    batch_size=windows,
                    max_tokens=max_tokens,
                    progress=lambda done, total: between(),
                    helpers=world,
                )
            )

    def sample(between: Between) -> tuple[str, str]:
        length, seed = settings.sample_tokens, settings.seed
        pieces: list[str] = []
        written = stream(world.writer(model), tokenizer, prompt, max_tokens=length, seed=seed)
        while True:  # the first process writes, the others wait for its end
            piece = next(written, None) if world.rank == 0 else None
            if not any(world.agree(piece is not None)):
                return prompt, "".join(pieces)
            pieces.append(piece or "")
            between()

    return Trainer(
        step=TrainStep(
            model,
            settings.loss,
            settings.balance_loss,
            settings.loss_chunk,
            choices.copy_dtype,
        ),
        batches=batches,
        choices=choices,
        evaluate=evaluate,
        sample=sample,
        listeners=listeners,
        world=world,
        started=time.perf_counter() if started is None else started,
        **more,
    )


def prompt_from(tokenizer: Tokenizer, split: TokenSplit) -> str:
    """Return the beginning of a line from the middle of `split`, for the model to continue."""
    start = split.n_tokens // 2
    ids = split.read(start, min(32 * PROMPT_CHARACTERS, split.n_tokens - start)).tolist()
    text = tokenizer.decode(ids).lstrip(REPLACEMENT)  # the middle may be that of a character
    text = (text.partition("\n\n")[2] or text.partition("\n")[2] or text).strip()
    end = text.find(" ", PROMPT_CHARACTERS)
    return text[: end if end > 0 else PROMPT_CHARACTERS] or " "
