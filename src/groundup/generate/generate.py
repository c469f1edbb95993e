"""The generation loop: compute the next logits, choose a token, append it, and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from groundup.base.errors import UsageError
from groundup.generate.lookup import can_look_up, look_up
from groundup.generate.sampling import SamplingConfig, generators, next_tokens
from groundup.generate.text_stream import TextStream
from groundup.generate.thread_tuner import ThreadTuner
from groundup.generate.windows import CachedReader, PlainReader, Reader, Rows, without_compiling
from groundup.model import GPT, evaluation_mode
from groundup.runs.pair import check_pair
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.arguments import check_text

Prompt = TypeVar("Prompt", str, list[str])


def generate(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: Prompt,
    *,
    max_tokens: int = 100,
    repetition_penalty: float = 1.0,
    temperature: float = 0.8,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    seed: int | None = None,
    stop: str | Sequence[str] = (),
    stop_tokens: Sequence[int] = (),
    start_token: int | None = None,
    use_cache: bool = True,
    lookup: bool = True,
) -> Prompt:
    """Return the text that follows `prompt`, without the prompt: a list for a list of prompts.

    `SamplingConfig` explains the settings. Prompt i of a list draws from seed + i: alone, with
    that seed, it gives the same text. An empty prompt starts from the start token or from the
    end-of-text token, where there is one. Writing ends at an end-of-text token or one of
    `stop_tokens`, before a stop string or after `max_tokens`; past context_length it goes on with
    a moving window (see `windows`). `lookup` writes the same in less time
    where a text repeats itself (see `generate/lookup.py`).
    """
    sampling = SamplingConfig(
        max_tokens=max_tokens,
        repetition_penalty=repetition_penalty,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        seed=seed,
        stop=stop,
        stop_tokens=stop_tokens,
        start_token=start_token,
    )
    check_pair(model, tokenizer, "generate")
    prompts = list(prompt) if isinstance(prompt, list | tuple) else [prompt]
    for text in prompts:
        check_text(text, "generate")
    rows = [start_ids(tokenizer, text, start_token) for text in prompts]
    steps = stream_rows(model, tokenizer, rows, sampling, use_cache=use_cache, lookup=lookup)
    texts = ["".join(pieces) for pieces in zip(*steps, strict=True)]
    return texts[0] if isinstance(prompt, str) else texts


def stream(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    use_cache: bool = True,
    lookup: bool = True,
    **settings: Any,
) -> Iterator[str]:
    """Yield the text that `generate` returns for the same settings, in pieces as it is written.

    A piece is never empty and never ends inside a character. The model is in evaluation mode
    until the iterator is exhausted or closed.
    """
    check_pair(model, tokenizer, "stream")
    check_text(prompt, "stream")
    sampling = SamplingConfig(**settings)
    ids = start_ids(tokenizer, prompt, sampling.start_token)
    return stream_from(model, tokenizer, ids, sampling, use_cache=use_cache, lookup=lookup)


def stream_from(
    model: GPT,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    sampling: SamplingConfig,
    *,
    use_cache: bool = True,
    lookup: bool = True,
) -> Iterator[str]:
    """Yield the text that follows the tokens `ids`, in pieces like those of `stream`."""
    check_pair(model, tokenizer, "stream_from")
    steps = stream_rows(model, tokenizer, [ids], sampling, use_cache=use_cache, lookup=lookup)
    return (piece for (piece,) in steps if piece)


def generate_tokens(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    *,
    ended: Callable[[int], bool] = lambda row: False,
    vocab_size: int | None = None,
    use_cache: bool = True,
    lookup: bool = True,
    random: Sequence[torch.Generator] | None = None,
    tuned: bool = True,
) -> Iterator[list[int | None]]:
    """Yield each step's new token of every row, and None for rows that have ended.

    After a step, `ended(row)` says whether that row is complete; stop strings and end of text are
    its business. Tokens from `vocab_size` on (a vocabulary padded to a round size) are not chosen.
    One row is written with `lookup` where the model allows it (see `can_look_up`). `random` are the
    generators that rows draw from, where not those of the seed. What is `tuned` chooses its threads
    by the time that they take, so that rounding, and what it decides, may differ from time to time.
    """
    if not all(map(len, prompts)):
        raise UsageError("a prompt has no tokens; give at least one to go on from")
    rows = [list(prompt) for prompt in prompts]
    random = random or generators(sampling.seed, len(rows))
    if lookup and tuned and use_cache and len(rows) == 1 and can_look_up(model):
        with evaluation_mode(model):
            for token in look_up(model, rows[0], sampling, random[0], vocab_size):
                yield [token]
                if ended(0):
                    return
        return
    reader = _reader(model, rows, sampling.max_tokens, use_cache)
    active, tuner = list(range(len(rows))), ThreadTuner(tuned and model.device.type == "cpu")
    with evaluation_mode(model):
        for _ in range(sampling.max_tokens if rows else 0):
            with tuner.token():
                logits = _next_logits(reader, [rows[i] for i in active])[:, :vocab_size]
            chosen = next_tokens(
                logits, sampling, [random[i] for i in active], [rows[i] for i in active]
            )
            step: list[int | None] = [None] * len(rows)
            for i, token in zip(active, chosen, strict=True):
                rows[i].append(token)
                step[i] = token
            yield step
            staying = [at for at, i in enumerate(active) if not ended(i)]
            if not staying:
                return
            if len(staying) < len(active):
                active = [active[at] for at in staying]
                reader.keep(staying)


def start_ids(tokenizer: Tokenizer, prompt: str, start_token: int | None = None) -> list[int]:
    """Return the tokens to go on from: those of `prompt`, or end of text for an empty one.

    A start token stands before them; it is enough for an empty prompt.
    """
    start = tokenizer.checked([] if start_token is None else [start_token])
    if prompt or start:
        return start + tokenizer.encode(prompt)
    if tokenizer.end_of_text is None:
        raise UsageError(
            "the prompt is empty, and this tokenizer has no end-of-text token to start from; "
            "give at least one character"
        )
    return [tokenizer.end_of_text]


def stream_rows(
    model: GPT,
    tokenizer: Tokenizer,
    rows: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    *,
    use_cache: bool = True,
    lookup: bool = True,
) -> Iterator[list[str]]:
    """Yield each step's new piece of text of every row of tokens, and at last what was held back.

    A row's pieces end before a stop string, at a stop token or at end of text; then they are empty.
    """
    texts = [TextStream(tokenizer, sampling.stop, sampling.stop_tokens, before=row) for row in rows]
    steps = generate_tokens(
        model,
        rows,
        sampling,
        ended=lambda row: texts[row].ended,
        vocab_size=tokenizer.vocab_size,
        use_cache=use_cache,
        lookup=lookup,
    )
    for step in steps:
        yield [
            "" if token is None else text.feed(token)
            for text, token in zip(texts, step, strict=True)
        ]
    yield [text.finish() for text in texts]


def _reader(model: GPT, rows: Rows, max_tokens: int, use_cache: bool) -> Reader:
    if not use_cache:
        return PlainReader(model)
    longest = max(map(len, rows), default=0) + max_tokens
    return CachedReader(model, len(rows), min(longest, model.config.context_length))


def _next_logits(reader: Reader, rows: Rows) -> torch.Tensor:
    """Return the scores (B, V) of each row's next token."""
    with torch.inference_mode(), without_compiling():
        return reader.read(rows)
