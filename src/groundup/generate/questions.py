"""Many questions, answered greedily in batches: how an assistant is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from groundup.base.errors import TokenizerError, UsageError
from groundup.data.dialogue import Message
from groundup.data.messages import ASSISTANT, SYSTEM, USER
from groundup.generate.generate import generate_tokens
from groundup.generate.sampling import SamplingConfig
from groundup.generate.template import ChatTemplate, Dialogue, Name, plain_dialogue
from groundup.generate.text_stream import TextStream
from groundup.generate.windows import TOKENS_AT_ONCE
from groundup.model import GPT
from groundup.runs.pair import check_pair
from groundup.tokenizer import Tokenizer

OnProgress = Callable[[int, int], None]
"""Is told how many questions are answered, and how many there are."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


def numbered(n: int) -> str:
    """Call a question by its place, from 1."""
    return f"question {n + 1}"


@dataclass(frozen=True)
class Reply:
    """What a model answered to one question."""

    text: str
    """Without what ended it."""
    ids: tuple[int, ...]
    """All tokens that were written, with the one that ended it."""
    ended: bool
    """Whether the model ended it by itself; else there was no room for more tokens."""


def write_replies(
    model: GPT,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    questions: Sequence[Dialogue],
    *,
    max_tokens: int = 64,
    examples: Sequence[Dialogue] = (),
    stop_tokens: Sequence[int] = (),
    batch_tokens: int = TOKENS_AT_ONCE,
    name: Name = numbered,
    progress: OnProgress = silent,
) -> list[Reply]:
    """Return the model's reply to each question, in their order: the likeliest token each time.

    A question is a dialogue up to a message of the user. `examples` are whole dialogues that
    precede each question as earlier turns (few-shot prompting), behind its system message; their
    own system messages are left out, as there is one place for one. A reply ends at a token that
    the template writes behind a reply, at the end of text or at one of `stop_tokens`. Else it is
    cut after `max_tokens`, or where the model's context is full.

    A reply is the one that `generate` writes for its question alone, but for ties that rounding
    decides. Questions of like length are answered together, the longest first; `batch_tokens`
    bounds how many tokens a batch keeps in its cache. What all of a batch begin with, such as the
    examples, is read once; a reply that has ended costs no more time.

    Raises `UsageError`, with what `name` calls the question, where the template refuses it or the
    context has no room for a reply, before anything is written.
    """
    check_pair(model, tokenizer, "write_replies")
    if max_tokens < 1 or batch_tokens < 1:
        given = f"max_tokens = {max_tokens}, batch_tokens = {batch_tokens}"
        raise UsageError(f"{given}: expected 1 or more of both")
    prompts = encode_questions(tokenizer, template, questions, examples, name)
    context = model.config.context_length
    for n, prompt in enumerate(prompts):
        if len(prompt) >= context:
            raise UsageError(
                f"{name(n)}: it takes {len(prompt):,} tokens in the chat template, with "
                f"{len(examples)} examples before it, and the model sees {context:,}; shorten it, "
                "give fewer examples or leave it out"
            )
    return continue_prompts(
        model,
        tokenizer,
        prompts,
        max_tokens=max_tokens,
        ends=[*stop_tokens, *(template.turn_ends(tokenizer) if prompts else ())],
        batch_tokens=batch_tokens,
        progress=progress,
    )


def continue_prompts(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    ends: Sequence[int] = (),
    temperature: float = 0.0,
    seeds: Sequence[int] | None = None,
    tuned: bool = True,
    batch_tokens: int = TOKENS_AT_ONCE,
    progress: OnProgress = silent,
) -> list[Reply]:
    """Return what the model writes behind each prompt of tokens, in their order.

    It ends as a reply of `write_replies` does; `ends` are what ends it beside the end of text. Each
    prompt has fewer tokens than the model sees. At a `temperature` above 0, prompt i draws from a
    generator of its own, with the seed `seeds[i]`: it gets the same whatever stands beside it, but
    for draws that rounding decides. `tuned` is that of `generate_tokens`.
    """
    room = [min(max_tokens, model.config.context_length - len(prompt)) for prompt in prompts]
    sampling = SamplingConfig(max_tokens=max(room, default=0), temperature=temperature)
    found: dict[int, Reply] = {}
    for batch in _batches([len(p) + r for p, r in zip(prompts, room, strict=True)], batch_tokens):
        writers = [_Writer(tokenizer, prompts[i], room[i], frozenset(ends)) for i in batch]
        own = None if seeds is None else [torch.Generator().manual_seed(seeds[i]) for i in batch]
        for n_done in _write(model, tokenizer, writers, sampling, own, tuned):
            progress(len(found) + n_done, len(prompts))
        found |= {i: writer.reply() for i, writer in zip(batch, writers, strict=True)}
    return [found[i] for i in range(len(prompts))]


def encode_questions(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    questions: Sequence[Dialogue],
    examples: Sequence[Dialogue] = (),
    name: Name = numbered,
) -> list[list[int]]:
    """Return the ids of each question behind the examples, up to where the reply begins.

    Raises `UsageError`, with what `name` calls the question, for one that does not end with a
    message of the user or that the template refuses.
    """
    for n, example in enumerate(examples):
        if not example or example[-1]["role"] != ASSISTANT:
            raise UsageError(f"example {n + 1}: it does not end with a reply; give one")
    before = [m for example in examples for m in example if m["role"] != SYSTEM]
    for n, question in enumerate(questions):
        if not question or question[-1]["role"] != USER:
            raise UsageError(
                f"{name(n)}: it does not end with a message of the user; leave out what follows"
            )
    dialogues = (plain_dialogue(_behind(before, question), tokenizer) for question in questions)
    texts = template.rendered(dialogues, name, add_generation_prompt=True)
    return [_encoded(tokenizer, text, name(n)) for n, text in enumerate(texts)]


def _encoded(tokenizer: Tokenizer, text: str, name: str) -> list[int]:
    try:
        return tokenizer.encode_markup(text)
    except TokenizerError as error:
        raise TokenizerError(f"{name}: {error}") from None


def _behind(before: Sequence[Message], question: Dialogue) -> list[Message]:
    n_system = int(question[0]["role"] == SYSTEM)
    return [*question[:n_system], *before, *question[n_system:]]


def _batches(sizes: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield indices of rows to write together, the largest first, as the cache holds them."""
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    while order:
        n = max(1, batch_tokens // sizes[order[0]])
        yield order[:n]
        order = order[n:]


class _Writer:
    """One reply as it is written."""

    def __init__(
        self, tokenizer: Tokenizer, prompt: Sequence[int], room: int, stops: frozenset[int]
    ) -> None:
        self.prompt = prompt
        self.room = room
        self.stream = TextStream(tokenizer, stop_tokens=tuple(stops), before=prompt)
        self.ids: list[int] = []
        self.text = ""
        self.ended = False

    @property
    def is_done(self) -> bool:
        """Whether the reply has ended or its room is used up."""
        return self.ended or len(self.ids) == self.room

    def feed(self, token: int) -> None:
        """Take the next token."""
        self.ids.append(token)
        self.text += self.stream.feed(token)
        self.ended = self.stream.ended

    def reply(self) -> Reply:
        """Return the whole reply, once nothing follows."""
        return Reply(self.text + self.stream.finish(), tuple(self.ids), self.ended)


def _write(
    model: GPT,
    tokenizer: Tokenizer,
    writers: Sequence[_Writer],
    sampling: SamplingConfig,
    random: Sequence[torch.Generator] | None,
    tuned: bool,
) -> Iterator[int]:
    """Write a batch of replies; yield how many are done, each time that there are more."""
    steps = generate_tokens(
        model,
        [writer.prompt for writer in writers],
        sampling,
        ended=lambda row: writers[row].is_done,
        vocab_size=tokenizer.vocab_size,
        random=random,
        tuned=tuned,
    )
    told = 0
    for step in steps:
        for writer, token in zip(writers, step, strict=True):
            if token is not None:
                writer.feed(token)
        n_done = sum(writer.is_done for writer in writers)
        if n_done > told:
            yield n_done
        told = n_done
