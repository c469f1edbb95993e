"""Puts model, data, loss and evaluation together into a `Trainer`."""

from __future__ import annotations

import time

import torch

from groundup.config import GPTConfig
from groundup.data import Batches, TokenSplit
from groundup.evaluate import Evaluation, evaluate_loss
from groundup.generate import generate
from groundup.model import GPT
from groundup.tokenizer import Tokenizer
from groundup.train.choices import Choices
from groundup.train.loop import Listener, Trainer
from groundup.train.step import TrainStep

PROMPT_TOKENS = 8
"""Tokens of validation text that a sample continues where no prompt was set."""


def assemble(
    model: GPT,
    tokenizer: Tokenizer,
    train: TokenSplit,
    val: TokenSplit,
    choices: Choices,
    listeners: list[Listener],
    started: float | None = None,
) -> Trainer:
    """Return a `Trainer` of `model` at step 0."""
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
    prompt = settings.sample_prompt or _opening(tokenizer, val)

    def evaluate(max_tokens: int | None) -> Evaluation | None:
        if val.n_tokens < 2:
            return None
        with choices.autocast():
            return evaluate_loss(model, val, batch_size=settings.batch_size, max_tokens=max_tokens)

    def sample() -> tuple[str, str] | None:
        text = generate(
            model,
            tokenizer,
            prompt,
            max_tokens=settings.sample_tokens,
            seed=settings.seed,
        )
        return prompt, text

    return Trainer(
        step=TrainStep(model, settings.loss),
        batches=batches,
        choices=choices,
        evaluate=evaluate,
        sample=sample,
        listeners=listeners,
        started=time.perf_counter() if started is None else started,
    )


def _opening(tokenizer: Tokenizer, val: TokenSplit) -> str:
    """Return the first words of the validation text."""
    text = tokenizer.decode(val.read(0, min(PROMPT_TOKENS, val.n_tokens)).tolist())
    return text.strip("\ufffd") or " "


def new_model(config: GPTConfig, seed: int) -> GPT:
    """Return an untrained model whose weights `seed` determines."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT(config)
