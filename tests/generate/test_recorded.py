"""A recorded step gives the model's own numbers, and what can't be recorded is read as ever."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from groundup.adapters import attach
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
from groundup.model import GPT, NO_CACHE, Mask, fused_attention, plain_attention
from groundup.model.block import PreNormBlock
from groundup.model.empty import empty_gpt
from groundup.quantized import quantizable, quantize, swap_in
from tests.generate.test_generate import random_model

SHAPES: list[dict[str, Any]] = [
    {},
    {"position": "rope", "norm": "rmsnorm", "feed_forward": "swiglu", "n_kv_heads": 2},
    {"norm_order": "sandwich", "qk_norm": "head", "logit_softcap": 9.0, "embedding_scale": True},
    {"norm_order": "post", "qk_norm": "width", "feed_forward": "relu_squared", "qkv_bias": True},
]


SHORT: dict[str, Any] = {"context_length": 24, "n_layers": 2, "emb_dim": 64, "n_heads": 4}


def shaped(settings: dict[str, Any]) -> GPT:
    return random_model(**{**SHORT, **settings}).eval()


def in_bits(model: GPT, bits: int) -> GPT:
    tensors = dict(model.named_parameters())
    made = {
        p.name: quantize(tensors[p.name], bits) if quantizable(p) else tensors[p.name].detach()
        for p in parameter_shapes(model.config)
    }
    other = empty_gpt(model.config)
    swap_in(other, made)
    return other.eval()


def unchanged(model: GPT) -> None:
    """Do nothing."""


@torch.inference_mode()
def written(
    model: GPT, n_rows: int, recording: bool, change: Callable[[GPT], object] = unchanged
) -> tuple[list[torch.Tensor], CachedReader]:
    """Return the scores of 16 greedy tokens of each row, the model changed before the ninth."""
    reader = CachedReader(model, n_rows, 24)
    reader._awaited = FIRST_RECORDED if recording else -1
    rows, found = [[3 + row, 5, 2, 9] for row in range(n_rows)], []
    for i in range(16):
        if i == 8:
            change(model)
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


def attends_by_count(
    query: Tensor, key: Tensor, value: Tensor, mask: Mask, drop_rate: float, scale: float
) -> Tensor:
    return fused_attention(query, key, value, mask, drop_rate, scale * math.log(1 + key.shape[2]))


class Fading(nn.Module):
    """A part of somebody's own that counts its calls."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.n_calls = inner, 0

    def forward(self, x: Tensor) -> Tensor:
        self.n_calls += 1
        faded: Tensor = self.inner(x) / self.n_calls
        return faded


def with_own_attention() -> GPT:
    plain = shaped({})
    model = GPT(plain.config, attends_by_count)
    model.load_state_dict(plain.state_dict())
    return model.eval()


def with_own_module() -> GPT:
    model = shaped({})
    model.set_submodule("blocks.0.ffn", Fading(model.get_submodule("blocks.0.ffn")))
    return model.eval()


def with_own_forward() -> GPT:
    model, fading = shaped({}), Fading(shaped({}).get_submodule("blocks.0.ffn"))
    vars(model.get_submodule("blocks.0.ffn"))["forward"] = fading.forward
    return model


@pytest.mark.parametrize("make", [with_own_attention, with_own_module, with_own_forward])
def test_what_others_have_written_is_called_for_every_token(make: Callable[[], GPT]) -> None:
    repeated, reader = written(make(), 1, recording=True)
    assert reader._recorded is None
    torch.testing.assert_close(repeated, written(make(), 1, recording=False)[0], atol=0, rtol=0)


def test_hooks_of_all_modules_are_called_for_every_token() -> None:
    called: list[nn.Module] = []
    hook = register_module_forward_hook(lambda module, given, made: called.append(module))
    try:
        written(shaped({}), 1, recording=True)
    finally:
        hook.remove()
    assert sum(isinstance(module, PreNormBlock) for module in called) == 2 * 17  # the prompt, too


def with_adapters(model: GPT) -> None:
    attach(model, "lora", 4, 8.0, 0)
    nn.init.ones_(model.get_parameter("blocks.0.attn.query.lora_b"))


def with_a_hook(model: GPT) -> None:
    model.blocks[0].register_forward_hook(lambda module, given, made: made / 2)


CHANGES: dict[str, Callable[[GPT], object]] = {
    "adapters": with_adapters,
    "a hook": with_a_hook,
    "other tensors": lambda model: model.load_state_dict(
        random_model(7, **SHORT).state_dict(), assign=True
    ),
    "other numbers": lambda model: model.load_state_dict(random_model(7, **SHORT).state_dict()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_that_changes_while_it_writes_is_read_as_it_is(name: str) -> None:
    repeated, _ = written(shaped({}), 1, True, CHANGES[name])
    plain, _ = written(shaped({}), 1, False, CHANGES[name])
    torch.testing.assert_close(repeated, plain, atol=0, rtol=0)
    assert not torch.allclose(plain[-1], written(shaped({}), 1, False)[0][-1])


@torch.inference_mode()
def test_rows_that_leave_one_by_one_are_not_recorded_each_time() -> None:
    reader, rows = CachedReader(shaped({}), 8, 24), [[row, 2, 3] for row in range(8)]
    while len(rows) > 1:
        reader.read(rows)
        assert reader._recorded is None
        reader.keep(range(1, len(rows)))
        rows = [[*row, 5] for row in rows[1:]]


def test_the_default_device_may_be_another() -> None:
    model = shaped({})
    plain, _ = written(model, 1, recording=False)
    with torch.device("meta"):
        repeated, reader = written(model, 1, recording=True)
    assert reader._recorded is not None
    torch.testing.assert_close(repeated, plain, atol=1e-6, rtol=1e-6)


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
