"""A recorded step gives the model's own numbers, and what can't be recorded is read as ever."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from groundup.config import parameter_shapes
from groundup.generate import products, recorded
from groundup.generate.products import linear
from groundup.generate.recorded import NotRecordableError, RecordedStep
from groundup.generate.windows import (
    FIRST_RECORDED,
    CachedReader,
    PlainReader,
    hidden_states,
    scores_of,
)
from groundup.model import GPT, NO_CACHE, plain_attention
from groundup.model.empty import empty_gpt
from groundup.quantized import quantizable, quantize, swap_in
from tests.generate.test_generate import random_model

SHAPES: list[dict[str, Any]] = [
    {},
    {"position": "rope", "norm": "rmsnorm", "feed_forward": "swiglu", "n_kv_heads": 2},
    {"norm_order": "sandwich", "qk_norm": "head", "logit_softcap": 9.0, "embedding_scale": True},
    {"norm_order": "post", "qk_norm": "width", "feed_forward": "relu_squared", "qkv_bias": True},
]


def shaped(settings: dict[str, Any]) -> GPT:
    shape = {"context_length": 24, "n_layers": 2, "emb_dim": 64, "n_heads": 4}
    return random_model(**{**shape, **settings}).eval()


def in_bits(model: GPT, bits: int) -> GPT:
    tensors = dict(model.named_parameters())
    made = {
        p.name: quantize(tensors[p.name], bits) if quantizable(p) else tensors[p.name].detach()
        for p in parameter_shapes(model.config)
    }
    other = empty_gpt(model.config)
    swap_in(other, made)
    return other.eval()


@torch.inference_mode()
def written(model: GPT, n_rows: int, recording: bool) -> tuple[list[torch.Tensor], CachedReader]:
    """Return the scores of 16 greedy tokens of each row."""
    reader = CachedReader(model, n_rows, 24)
    reader._awaited = FIRST_RECORDED if recording else -1
    rows, found = [[3 + row, 5, 2, 9] for row in range(n_rows)], []
    for _ in range(16):
        found.append(reader.read(rows).clone())
        for row, token in zip(rows, found[-1].argmax(dim=-1).tolist(), strict=True):
            row.append(token)
    return found, reader


@pytest.mark.parametrize("bits", [32, 8, 4])
@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_recorded_step_gives_the_models_numbers(
    shape: dict[str, Any], n_rows: int, bits: int
) -> None:
    model = shaped(shape) if bits == 32 else in_bits(shaped(shape), bits)
    plain, _ = written(model, n_rows, recording=False)
    repeated, reader = written(model, n_rows, recording=True)
    assert reader._recorded is not None
    torch.testing.assert_close(repeated, plain, atol=1e-6, rtol=1e-6)


@torch.inference_mode()
def test_most_calls_are_left_out() -> None:
    reader = CachedReader(shaped({"n_layers": 12}), 1, 24)
    reader.read([[1, 2, 3]])
    assert len(RecordedStep(reader.model, reader.cache)._program) < 200


def test_a_window_that_hides_something_is_read_as_ever() -> None:
    model = shaped({"window": 10, "window_pattern": "LG"})
    plain, _ = written(model, 1, recording=False)
    repeated, reader = written(model, 1, recording=True)
    assert reader._recorded is not None
    assert not recorded.can_repeat(reader.cache)
    torch.testing.assert_close(repeated, plain, atol=1e-6, rtol=1e-6)


@torch.inference_mode()
def test_what_no_list_of_calls_can_repeat_is_refused_and_read_as_ever() -> None:
    fused = shaped({})
    model = GPT(fused.config, plain_attention).eval()
    model.load_state_dict(fused.state_dict())
    found, reader = written(model, 1, recording=True)
    assert reader._recorded is None
    torch.testing.assert_close(found, written(fused, 1, recording=False)[0], atol=1e-5, rtol=1e-5)
    with pytest.raises(NotRecordableError, match="all keys"):
        RecordedStep(model, reader.cache)


@torch.inference_mode()
def test_rows_that_leave_are_forgotten_and_the_rest_recorded_again() -> None:
    model = shaped(SHAPES[1])
    reader, rows = CachedReader(model, 3, 24), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    for i in range(12):
        if i == 6:
            del rows[1]
            reader.keep([0, 2])
            assert reader._recorded is None
        scores = reader.read(rows)
        torch.testing.assert_close(scores, PlainReader(model).read(rows), atol=2e-5, rtol=1e-5)
        for row, token in zip(rows, scores.argmax(dim=-1).tolist(), strict=True):
            row.append(token)
    assert reader._recorded is not None


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("n_vectors", [1, 3, 40])
@torch.inference_mode()
def test_a_quick_product_is_the_product(n_vectors: int, with_bias: bool) -> None:
    x, weight = torch.randn(2, n_vectors, 80), torch.nn.Parameter(torch.randn(1027, 80))
    bias = torch.randn(1027) if with_bias else None
    torch.testing.assert_close(
        linear(x, weight, bias), F.linear(x, weight, bias), atol=1e-4, rtol=1e-5
    )


def test_quick_products_are_in_force_for_reading_in_fp32_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[int] = []

    def counted(*given: Any) -> torch.Tensor:
        called.append(1)
        return F.linear(*given)

    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "linear", counted)
    model, rows = shaped({}), [[1, 2, 3]]
    with torch.inference_mode():
        scores_of(model, rows, NO_CACHE)
        assert len(called) == 13  # six in each of two layers, and the head
        scores_of(in_bits(model, 8), rows, NO_CACHE)
        scores_of(model.bfloat16(), rows, NO_CACHE)
    hidden_states(model.float(), rows, NO_CACHE).sum().backward()
    assert len(called) == 13
