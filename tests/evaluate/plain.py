"""The same figures by the shortest road: one request at a time, all logits, in float64."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from groundup.evaluate import Request, Score
from groundup.model import GPT
from groundup.tokenizer import ByteTokenizer, Tokenizer

BYTES = ByteTokenizer()


@torch.no_grad()
def plain_score(model: GPT, request: Request) -> Score:
    context, continuation = request
    seen = [*context, *continuation][-model.config.context_length - 1 :]
    logits = model(torch.tensor([seen[:-1]]))[0].double()
    total, greedy = 0.0, True
    for place, token in zip(range(-len(continuation), 0), continuation, strict=True):
        total += logits[place].log_softmax(-1)[token].item()
        greedy = greedy and int(logits[place].argmax()) == token
    return Score(total, greedy)


def plain_request(tokenizer: Tokenizer, context: str, continuation: str) -> Request:
    n_spaces = len(context) - len(context.rstrip())
    cut = len(context) - n_spaces
    context, continuation = context[:cut], context[cut:] + continuation
    n = len(tokenizer.encode(context))
    whole = tokenizer.encode(context + continuation)
    return Request(whole[:n], whole[n:])


def random_requests(vocab_size: int, seed: int = 0, longest: int = 12) -> list[Request]:
    """Return questions of several answers each: some of one token, some contexts alike in part."""
    chance = random.Random(seed)

    def ids(low: int, high: int) -> list[int]:
        return [chance.randrange(vocab_size) for _ in range(chance.randint(low, high))]

    requests: list[Request] = []
    for _ in range(12):
        context = ids(1, longest)
        n_choices = chance.randint(1, 4)
        if chance.random() < 0.3:
            requests += [Request(context, ids(1, 1)) for _ in range(n_choices)]
        elif chance.random() < 0.3:
            requests += [Request([*context, *ids(1, 2)], ids(2, 5)) for _ in range(n_choices)]
        else:
            requests += [Request(context, ids(1, 6)) for _ in range(n_choices)]
    return requests


def assert_close(found: Sequence[Score], expected: Sequence[Score]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert abs(one.log_likelihood - other.log_likelihood) < 1e-4
        assert one.greedy == other.greedy
