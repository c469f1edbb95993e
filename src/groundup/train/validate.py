"""What a GPT shows of itself while it trains: its loss on the validation text, and a sample."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from groundup.data import TokenSplit
from groundup.evaluate import Evaluation, evaluate_loss
from groundup.generate import stream
from groundup.model import GPT
from groundup.optim.step import Step
from groundup.plan.validation import windows_at_once
from groundup.processes.alone import Alone
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.interface import REPLACEMENT
from groundup.train.choices import Choices
from groundup.train.records import Between

PROMPT_CHARACTERS = 24
"""Least length of a prompt taken from the validation text; it goes on to the end of the word."""


def validate(
    step: Step[GPT],
    val: TokenSplit,
    choices: Choices,
    world: Alone,
    most: int | None,
    last: bool,
    between: Between,
) -> Evaluation | None:
    """Return the loss on at most `most` tokens of `val` (None: all); None where it is too short."""
    if val.n_tokens < 2:
        return None
    windows = windows_at_once(step.model.config, choices.config)
    # The last one is what `groundup evaluate` will find: in fp32.
    with contextlib.nullcontext() if last else choices.autocast():
        return world.within(
            lambda: evaluate_loss(
                step.model,
                val,
                batch_size=windows,
                max_tokens=most,
                progress=lambda done, total: between(),
                helpers=world,
            )
        )


def write(
    step: Step[GPT],
    tokenizer: Tokenizer,
    prompt: str,
    choices: Choices,
    world: Alone,
    between: Between,
) -> str:
    """Return what the model writes after a prompt: in the first process, the others wait for it."""
    settings = choices.config
    model, length = world.writer(step.model), settings.sample_tokens
    written = stream(model, tokenizer, prompt, max_tokens=length, seed=settings.seed)
    return together(written, world, between)


def together(written: Iterator[str], world: Alone, between: Between) -> str:
    """Return all pieces of what the first process writes; the others wait for it."""
    pieces = list[str]()
    while True:
        piece = next(written, None) if world.rank == 0 else None
        if not any(world.agree(piece is not None)):
            return "".join(pieces)
        pieces.append(piece or "")
        between()


def prompt_from(tokenizer: Tokenizer, split: TokenSplit) -> str:
    """Return the beginning of a line from the middle of `split`, for the model to continue."""
    start = split.n_tokens // 2
    ids = split.read(start, min(32 * PROMPT_CHARACTERS, split.n_tokens - start)).tolist()
    text = tokenizer.decode(ids).lstrip(REPLACEMENT)  # the middle may be that of a character
    text = (text.partition("\n\n")[2] or text.partition("\n")[2] or text).strip()
    end = text.find(" ", PROMPT_CHARACTERS)
    return text[: end if end > 0 else PROMPT_CHARACTERS] or " "
