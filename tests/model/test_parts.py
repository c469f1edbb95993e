"""Parts of one's own: found by name in the tables that are given, and nowhere else."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from groundup import GPT, PARTS, GPTConfig
from groundup.base.errors import ConfigError
from groundup.config import parameter_shapes, part_tables
from groundup.generate import KVCache
from groundup.generate.cuda_graph import can_record
from groundup.generate.windows import CachedReader
from groundup.model import (
    CAUSAL,
    Mask,
    attention_weights,
    fused_attention,
    plain_attention,
    shapes_of,
    soft_cap,
)
from groundup.model.checks import check_attend
from groundup.optim.activation_checkpointing import checkpoint_blocks
from tests.model.helpers import FAMILIES, random_gpt, randomise
from tests.model.own_parts import CHOICES, OWN, SMALL, NoNorm, own_gpt

each_choice = pytest.mark.parametrize("choice", CHOICES)
each_family = pytest.mark.parametrize("shape", FAMILIES.values(), ids=FAMILIES)


@each_choice
@torch.no_grad()
def test_a_later_token_never_changes_an_earlier_logit(choice: str) -> None:
    model = own_gpt(choice)
    randomise(model)
    tokens = torch.randint(257, (2, 16))
    before = model(tokens)
    tokens[:, 9] = (tokens[:, 9] + 1) % 257
    after = model(tokens)
    assert torch.equal(after[:, :9], before[:, :9])
    assert not torch.allclose(after[:, 9], before[:, 9])


@each_choice
@torch.no_grad()
def test_cached_equals_uncached(choice: str) -> None:
    model = own_gpt(choice)
    randomise(model)
    tokens = torch.randint(257, (2, 12))
    cache = KVCache(model.config, 2, 12)
    pieces = [model(tokens[:, a:b], cache) for a, b in ((0, 5), (5, 6), (6, 12))]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(tokens), atol=1e-5, rtol=1e-5)


@each_choice
@torch.no_grad()
def test_rows_of_different_lengths_are_read_as_if_each_were_alone(choice: str) -> None:
    model = own_gpt(choice)
    randomise(model)
    rows = [[1, 2, 3, 4, 5], [6], [7, 8, 9]]
    reader = CachedReader(model, 3, 16)
    for token in (10, 11):
        expected = [model(torch.tensor([row]))[0, -1] for row in rows]
        torch.testing.assert_close(reader.read(rows), torch.stack(expected), atol=1e-5, rtol=1e-5)
        rows = [[*row, token] for row in rows]


@each_choice
def test_checkpointed_blocks_have_the_same_gradients(choice: str) -> None:
    model = own_gpt(choice).train()
    randomise(model)
    again = copy.deepcopy(model)
    checkpoint_blocks(again.blocks, again.config.has_dropout)
    tokens = torch.randint(257, (2, 16))
    for each in (model, again):
        each(tokens).square().mean().backward()
    for (name, first), second in zip(model.named_parameters(), again.parameters(), strict=True):
        assert first.grad is not None, name
        assert second.grad is not None, name
        assert torch.equal(first.grad, second.grad), name


def test_a_name_that_the_tables_lack_is_refused_in_a_line_that_says_what_to_write() -> None:
    with pytest.raises(ConfigError) as caught:
        GPT(GPTConfig(**SMALL, norm="squash"))
    said = str(caught.value)
    assert "norm = 'squash': expected one of layernorm, rmsnorm, zero_centered_rmsnorm" in said
    assert "parts=replace(PARTS, norms={**PARTS.norms, 'squash': YourPart})" in said
    assert "\n" not in said


@each_choice
def test_nothing_stays_of_tables_that_were_given_once(choice: str) -> None:
    own_gpt(choice)
    with pytest.raises(ConfigError):
        GPT(GPTConfig(**SMALL, **CHOICES[choice]))


def test_a_name_of_groundups_cannot_mean_something_else() -> None:
    parts = replace(PARTS, norms={**PARTS.norms, "layernorm": NoNorm})
    with pytest.raises(ConfigError, match=r"in parts\.norms; give yours a new name"):
        GPT(GPTConfig(**SMALL), parts=parts)
    assert GPT(GPTConfig(**SMALL, norm="rmsnorm"), parts=parts).parts is parts


def test_a_mistyped_name_is_told_which_is_meant() -> None:
    with pytest.raises(ConfigError, match=r"\(did you mean 'rmsnorm'\?\), or a part of your own"):
        GPT(GPTConfig(**SMALL, norm="rmsnrom"))


class OfWidth(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()


class OfTwo(NoNorm):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return x + y


class NoModule:
    def __init__(self, width: int, eps: float, bias: bool) -> None:
        self.weight = nn.Parameter(torch.ones(width))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


class WithoutRotations(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor, positions: object) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("field", "entry", "says"),
    [
        ("norm", NoNorm(1, 1.0, True), "an object of NoNorm: expected a class of modules; write"),
        ("norm", "NoNorm", "an object of str: expected a class of modules"),
        ("norm", OfWidth, r"OfWidth\(width: .*that is called with \(width, eps, bias\)"),
        ("norm", OfTwo, r"a OfTwo: expected that it has a method forward\(self, x\)"),
        ("norm", lambda width, eps, bias: nn.Module(), r"has a method forward\(self, x\)"),
        ("norm", NoModule, r"makes a NoModule: expected a torch.nn.Module, whose parameters learn"),
        ("position", WithoutRotations, r"has a method rotations\(self, positions, device\)"),
        ("attention", WithoutRotations, r"called with \(config, layer, attend, norms\)"),
    ],
)
def test_what_is_no_part_is_refused_in_a_line(field: str, entry: Any, says: str) -> None:
    table = part_tables()[field][0]
    parts = replace(PARTS, **{table: {**getattr(PARTS, table), "mine": entry}})
    with pytest.raises(TypeError, match=f"^{field} = 'mine' .*{says}"):
        GPT(GPTConfig(**SMALL).replace(**{field: "mine"}), parts=parts)


def test_what_is_no_table_and_no_way_of_attending_is_refused() -> None:
    parts = replace(PARTS)
    object.__setattr__(parts, "norms", [NoNorm])
    with pytest.raises(TypeError, match=r"^parts\.norms is a list: expected parts by their names"):
        GPT(GPTConfig(**SMALL), parts=parts)
    with pytest.raises(TypeError, match=r"^attend is a str: .* write attend=plain_attention"):
        check_attend("plain")


def test_a_part_starts_as_it_likes() -> None:
    block: Any = own_gpt("all").blocks[0]
    assert torch.equal(block.back.weight, torch.ones(32, 64))
    assert block.memory.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.attn.factor.item() == 0.5


@each_family
def test_a_model_tells_the_shapes_that_its_config_tells(shape: dict[str, Any]) -> None:
    model = random_gpt(**shape)
    assert list(shapes_of(model)) == list(parameter_shapes(model.config))


def test_a_part_in_a_place_of_its_own_is_called_by_it() -> None:
    parts = {p.name: p.part for p in shapes_of(own_gpt("all"))}
    assert parts["blocks.1.memory.weight"] == "memory"
    assert parts["blocks.1.attn.factor"] == "attention"
    assert parts["blocks.1.ffn.up.weight"] == "feed-forward"


def test_no_part_of_ones_own_is_recorded_on_a_gpu() -> None:
    cuda = torch.device("cuda")
    assert can_record(GPTConfig(**SMALL), cuda)
    assert not can_record(own_gpt("norm").config, cuda)


def test_a_copy_has_the_same_parts() -> None:
    assert copy.deepcopy(own_gpt("all")).parts is OWN


@pytest.mark.parametrize("cap", [0.0, 2.0])
@pytest.mark.parametrize("mask", [CAUSAL, Mask(None, True, 3), Mask(torch.eye(6).bool(), False)])
def test_attention_is_its_weights_times_the_values(mask: Mask, cap: float) -> None:
    query, key, value = torch.randn(2, 4, 6, 8), torch.randn(2, 2, 6, 8), torch.randn(2, 2, 6, 8)
    weights = attention_weights(query, key, mask, 0.3, soft_cap(cap))
    assert weights.shape == (2, 4, 6, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 6))
    assert not weights[..., ~mask.table(6, 6, query.device)].any()
    mixed = weights @ value.repeat_interleave(2, dim=1)
    assert torch.equal(mixed, plain_attention(query, key, value, mask, 0.0, 0.3, soft_cap(cap)))
    fused = fused_attention(query, key, value, mask, 0.0, 0.3, soft_cap(cap))
    torch.testing.assert_close(mixed, fused, atol=1e-5, rtol=1e-5)


def test_attention_of_ones_own_is_given_the_cap() -> None:
    seen: list[Any] = []

    def attend(*given: Any, **named: Any) -> torch.Tensor:
        seen.append(named["cap"])
        return plain_attention(*given, **named)

    config = GPTConfig(**SMALL, attention_softcap=2.0)
    own = GPT(config, attend=attend).eval()
    usual = GPT(config).eval()
    usual.load_state_dict(own.state_dict())
    tokens = torch.randint(257, (1, 9))
    assert torch.equal(own(tokens), usual(tokens))
    scores = torch.tensor([-100.0, 0.5, 100.0])
    assert [torch.equal(cap(scores), soft_cap(2.0)(scores)) for cap in seen] == [True, True]


def test_attention_that_knows_no_cap_serves_models_without_one() -> None:
    def attend(q: Any, k: Any, v: Any, mask: Mask, drop_rate: float, scale: float) -> Any:
        return plain_attention(q, k, v, mask, drop_rate, scale) * 2

    own = GPT(GPTConfig(**SMALL), attend=attend).eval()
    usual = GPT(own.config, attend=plain_attention).eval()
    usual.load_state_dict(own.state_dict())
    tokens = torch.randint(257, (1, 9))
    assert not torch.allclose(own(tokens), usual(tokens))
