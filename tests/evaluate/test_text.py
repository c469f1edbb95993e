"""The sliding window against a loop that predicts one token at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from groundup.base.errors import DataError, UsageError
from groundup.evaluate import Candidate, evaluate_text
from groundup.evaluate.text import windows
from groundup.tokenizer import CharTokenizer
from tests.evaluate.plain import BYTES
from tests.model.helpers import FAMILIES, random_gpt
from tests.tokenizer.helpers import small_bpe

CONTEXT = 24
TEXT = "Naïve kings cross the river; 日本 too. " * 3


def candidate(vocab_size: int = 257, start: tuple[int, ...] = ()) -> Candidate:
    config = FAMILIES["llama"] | {"vocab_size": vocab_size, "context_length": CONTEXT}
    tokenizer = small_bpe() if vocab_size == 700 else BYTES
    return Candidate(random_gpt(**config), tokenizer, start)


@torch.no_grad()
def plain_losses(who: Candidate, tokens: list[int], stride: int) -> list[float]:
    """Predict token after token, each from as much as its window shows."""
    losses = []
    for at in range(1, len(tokens)):
        if at <= CONTEXT:
            begin = 0
        else:
            end = CONTEXT + 1 + stride * -(-(at - CONTEXT) // stride)
            begin = min(end, len(tokens)) - CONTEXT - 1
        logits = who.model(torch.tensor([tokens[begin:at]]))[0, -1].double()
        losses.append(-logits.log_softmax(-1)[tokens[at]].item())
    return losses


@pytest.mark.parametrize("stride", [1, 7, 12, 23, 24])
@pytest.mark.parametrize("batch_tokens", [1, 100])
def test_every_token_is_predicted_once_from_its_window(stride: int, batch_tokens: int) -> None:
    who = candidate()
    tokens = [256, *BYTES.encode(TEXT)]
    losses = np.array(plain_losses(who, tokens, stride))
    result = evaluate_text(who, TEXT, stride=stride, batch_tokens=batch_tokens)
    assert result.predicted == result.tokens == result.bytes == len(TEXT.encode())
    assert result.loss == pytest.approx(losses.mean(), rel=1e-5)
    assert result.loss_std == pytest.approx(losses.std(ddof=1), rel=1e-4)
    assert result.loss_stderr == pytest.approx(losses.std(ddof=1) / len(losses) ** 0.5, rel=1e-4)
    assert result.perplexity == pytest.approx(math.exp(losses.mean()), rel=1e-4)
    assert result.bits_per_byte == pytest.approx(losses.sum() / math.log(2) / result.bytes)
    assert result.lossless


def test_a_stride_of_the_context_is_the_cheapest_and_half_of_it_the_default() -> None:
    who = candidate()
    assert evaluate_text(who, TEXT).stride == 12
    assert evaluate_text(who, TEXT).loss == evaluate_text(who, TEXT, stride=12).loss


def test_bits_per_byte_are_of_the_bytes_whatever_the_tokens() -> None:
    for vocab_size in (257, 700):
        who = candidate(vocab_size)
        with torch.no_grad():
            who.model.lm_head.weight.zero_()
        result = evaluate_text(who, TEXT)
        bits = result.tokens * math.log2(vocab_size)
        assert result.bits_per_byte == pytest.approx(bits / len(TEXT.encode()), rel=1e-6)


def test_the_start_token_comes_before_end_of_text() -> None:
    with_start = candidate(start=(65,))
    losses = plain_losses(with_start, [65, *BYTES.encode(TEXT)], 12)
    assert evaluate_text(with_start, TEXT).loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_without_anything_before_it_the_first_token_is_not_predicted() -> None:
    tokenizer = CharTokenizer("".join(sorted(set(TEXT))))
    assert tokenizer.end_of_text is None
    config = FAMILIES["llama"] | {"vocab_size": 67, "context_length": CONTEXT}
    who = Candidate(random_gpt(**config), tokenizer)
    losses = plain_losses(who, tokenizer.encode(TEXT), 12)
    result = evaluate_text(who, TEXT)
    assert (result.predicted, result.tokens) == (len(TEXT) - 1, len(TEXT))
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-5)
    bits = np.mean(losses) / math.log(2) * len(TEXT) / len(TEXT.encode())
    assert result.bits_per_byte == pytest.approx(bits, rel=1e-5)


@pytest.mark.parametrize("n_tokens", [2, 8, 9, 10, 17, 50])
@pytest.mark.parametrize("stride", [1, 3, 8])
def test_windows(n_tokens: int, stride: int) -> None:
    made = list(windows(n_tokens, 8, stride))
    assert [at for _, first, end in made for at in range(first, end)] == list(range(1, n_tokens))
    for begin, first, end in made:
        assert end - 1 - begin == min(8, n_tokens - 1) or (begin == 0 and end - 1 <= 8)
        assert begin == 0 or first - begin >= 8 - stride + 1
        assert end - first <= (8 if begin == 0 and first == 1 else stride)


@pytest.mark.parametrize("stride", [0, -1, CONTEXT + 1])
def test_strides_that_make_no_sense(stride: int) -> None:
    with pytest.raises(UsageError, match=f"stride = {stride}: expected 1 to {CONTEXT}"):
        evaluate_text(candidate(), TEXT, stride=stride)


def test_texts_too_short() -> None:
    with pytest.raises(DataError, match="0 tokens to evaluate: expected 1 or more"):
        evaluate_text(candidate(), "")
    result = evaluate_text(candidate(), "a")
    assert result.predicted == 1
    assert math.isnan(result.loss_std)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    evaluate_text(candidate(), TEXT, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(TEXT.encode()), len(TEXT.encode()))


def test_what_a_tokenizer_drops_is_noticed() -> None:
    who = candidate()

    class Deaf(type(BYTES)):  # type: ignore[misc]
        def encode_array(self, text: str) -> np.ndarray:
            return super().encode_array(text.replace("k", ""))

    assert not evaluate_text(Candidate(who.model, Deaf()), TEXT).lossless
