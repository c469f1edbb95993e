"""Every norm, order, position, gate and mixture: against its mathematics and against itself."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from groundup import GPT, GPTConfig
from groundup.base.errors import ConfigError
from groundup.config import gpt as config_module
from groundup.config import parameter_shapes
from groundup.generate import KVCache
from groundup.generate.cache import PrefillCache
from groundup.model import (
    BLOCKS,
    FEED_FORWARDS,
    NORMS,
    POSITIONS,
    MixtureOfExperts,
    RMSNorm,
    RotaryPositions,
    ZeroCenteredRMSNorm,
    plain_attention,
    soft_cap,
)
from groundup.model.positions import KEPT, frequencies, scaled
from tests.model.helpers import FAMILIES, random_gpt, randomise

each_family = pytest.mark.parametrize("shape", FAMILIES.values(), ids=FAMILIES)


def tokens_for(model: GPT, n_rows: int = 2) -> torch.Tensor:
    return torch.randint(model.config.vocab_size, (n_rows, model.config.context_length))


def test_the_tables_of_parts_are_the_choices_of_the_config() -> None:
    assert tuple(NORMS) == config_module.NORMS
    assert tuple(BLOCKS) == config_module.NORM_ORDERS
    assert tuple(POSITIONS) == config_module.POSITIONS
    assert ("none", *KEPT, "longrope") == config_module.ROPE_SCALINGS
    assert tuple(FEED_FORWARDS) == config_module.FEED_FORWARDS


@each_family
def test_shapes_are_those_of_the_model(shape: dict[str, Any]) -> None:
    model = random_gpt(**shape)
    expected = [(p.name, p.shape) for p in parameter_shapes(model.config)]
    assert [(n, tuple(p.shape)) for n, p in model.named_parameters()] == expected


@each_family
def test_every_parameter_matters(shape: dict[str, Any]) -> None:
    model = random_gpt(**shape).train()
    model(tokens_for(model)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@each_family
@torch.no_grad()
def test_plain_and_fused_attention_give_equal_models(shape: dict[str, Any]) -> None:
    fused = random_gpt(**shape)
    plain = GPT(fused.config, attend=plain_attention).eval()
    plain.load_state_dict(fused.state_dict())
    tokens = tokens_for(fused)
    torch.testing.assert_close(plain(tokens), fused(tokens), atol=2e-5, rtol=1e-5)


@each_family
@torch.no_grad()
def test_a_later_token_never_changes_an_earlier_logit(shape: dict[str, Any]) -> None:
    model = random_gpt(**shape)
    tokens = tokens_for(model)
    before = model(tokens)
    for position in range(0, tokens.shape[1], 5):
        changed = tokens.clone()
        changed[:, position] = (changed[:, position] + 1) % model.config.vocab_size
        after = model(changed)
        # Bit for bit, but for experts: how many rows one multiplies depends on the other tokens.
        atol = 1e-6 if model.config.n_experts else 0
        earlier = after[:, :position], before[:, :position]
        torch.testing.assert_close(*earlier, atol=atol, rtol=0)
        assert not torch.allclose(after[:, position], before[:, position])


@each_family
@pytest.mark.parametrize("sizes", [[1] * 24, [9, 1, 1, 6, 7], [2, 22]])
@torch.inference_mode()
def test_cached_equals_uncached(shape: dict[str, Any], sizes: list[int]) -> None:
    model = random_gpt(**shape)
    tokens = tokens_for(model)
    cache = KVCache(model.config, 2, 24)
    parts = [model(chunk, cache) for chunk in tokens.split(sizes, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(tokens), atol=5e-5, rtol=1e-5)


@each_family
@torch.inference_mode()
def test_ragged_rows_equal_rows_alone(shape: dict[str, Any]) -> None:
    model = random_gpt(**shape)
    lengths, tokens = [2, 14, 9], tokens_for(model, 3)
    cache = KVCache(model.config, 3, 24)
    model.hidden_states(tokens[:, :14], PrefillCache(cache, [0, 1, 2]))
    cache.set_lengths(lengths)
    new = torch.stack([tokens[row, n : n + 6] for row, n in enumerate(lengths)])
    read = torch.cat([model(new[:, :1], cache), model(new[:, 1:], cache)], dim=1)
    for row, n in enumerate(lengths):
        alone = model(tokens[row : row + 1, : n + 6])[0, n:]
        torch.testing.assert_close(read[row], alone, atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [1, 3, 8])
def test_a_window_is_how_far_a_layer_sees(window: int) -> None:
    model = random_gpt(**FAMILIES["mistral"] | {"n_layers": 1, "window": window})
    tokens = tokens_for(model, 1)
    changed = tokens.clone()
    changed[0, 4] = (changed[0, 4] + 1) % 67
    moved = (model(tokens) - model(changed)).abs().amax(-1)[0] > 0
    assert moved.nonzero().flatten().tolist() == list(range(4, 4 + window))


def test_only_local_layers_have_a_window() -> None:
    config = GPTConfig(**FAMILIES["gemma3"] | {"n_layers": 7})
    assert [config.window_of(i) for i in range(7)] == [5, 5, None, 5, 5, None, 5]


@pytest.mark.parametrize("norm", [RMSNorm, ZeroCenteredRMSNorm])
def test_rms_norms_are_their_formula(norm: type[RMSNorm]) -> None:
    layer = norm(24, eps=1e-3)
    randomise(layer)
    x = torch.randn(4, 7, 24)
    scale = layer.weight + (1 if issubclass(norm, ZeroCenteredRMSNorm) else 0)
    expected = scale * x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-3)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("shape", [FAMILIES["llama"], FAMILIES["gemma3"]])
def test_norms_begin_as_doing_nothing_but_scale(shape: dict[str, Any]) -> None:
    norm = GPT(GPTConfig(**shape)).final_norm
    x = torch.randn(3, 32)
    torch.testing.assert_close(norm(x).square().mean(-1), torch.ones(3), atol=1e-4, rtol=0)


def test_rotation_is_complex_multiplication() -> None:
    config = GPTConfig(**_plain_rope())
    x, positions = torch.randn(2, 4, 5, 8), torch.arange(3, 8)
    [rotate, *_] = RotaryPositions(config).rotations(slice(3, 8), torch.device("cpu"))
    pairs = torch.complex(x[..., :4], x[..., 4:])
    turns = torch.tensor([10000 ** (-2 * i / 8) for i in range(4)])
    turned = pairs * torch.exp(1j * positions[:, None] * turns)
    torch.testing.assert_close(rotate(x), torch.cat([turned.real, turned.imag], -1))


def test_rotated_scores_depend_on_the_distance_alone() -> None:
    rope = RotaryPositions(GPTConfig(**_plain_rope()))
    query, key = torch.randn(2, 1, 1, 1, 8)

    def score(at: int, distance: int) -> float:
        [turn_query, *_] = rope.rotations(
            slice(at + distance, at + distance + 1), torch.device("cpu")
        )
        [turn_key, *_] = rope.rotations(slice(at, at + 1), torch.device("cpu"))
        return (turn_query(query) * turn_key(key)).sum().item()

    for distance in (0, 1, 7):
        assert score(2, distance) == pytest.approx(score(500, distance), abs=1e-4)
    assert score(2, 1) != pytest.approx(score(2, 7), abs=1e-3)


def test_positions_of_each_row_turn_each_row() -> None:
    rope = RotaryPositions(GPTConfig(**_plain_rope()))
    x = torch.randn(2, 4, 3, 8)
    rows = torch.tensor([[4, 5, 6], [0, 1, 2]])
    [together, *_] = rope.rotations(rows, torch.device("cpu"))
    for row, first in enumerate((4, 0)):
        [alone, *_] = rope.rotations(slice(first, first + 3), torch.device("cpu"))
        torch.testing.assert_close(together(x)[row], alone(x)[row])


def test_llama3_scaling_keeps_the_quick_and_slows_the_slow() -> None:
    config = GPTConfig(**FAMILIES["llama"] | {"head_dim": 64, "rope_original_context": 4096})
    plain = frequencies(64, 10000.0)
    slowed = scaled(config).radians
    ratios = [b / a for a, b in zip(plain, slowed, strict=True)]
    assert ratios[0] == 1
    assert ratios[-1] == pytest.approx(1 / 4)
    assert all(b <= a for a, b in itertools.pairwise(ratios))
    n_turns = [4096 * turn / (2 * math.pi) for turn in plain]
    between = [ratio for ratio, n in zip(ratios, n_turns, strict=True) if 1 < n < 4]
    assert between
    assert all(1 / 4 < ratio < 1 for ratio in between)


@torch.no_grad()
def test_a_mixture_is_the_weighted_sum_of_the_chosen_experts() -> None:
    ffn = random_gpt(**FAMILIES["mixtral"]).blocks[0].ffn
    assert isinstance(ffn, MixtureOfExperts)
    x = torch.randn(2, 5, 32)
    scores = ffn.router(x)
    expected = torch.zeros_like(x)
    for row, column in itertools.product(range(2), range(5)):
        best = scores[row, column].topk(2)
        for weight, i in zip(best.values.softmax(0), best.indices.tolist(), strict=True):
            expected[row, column] += weight * ffn.experts[i](x[row, column])
    for training in (True, False):
        torch.testing.assert_close(ffn.train(training)(x), expected, atol=1e-6, rtol=1e-5)


def test_an_idle_expert_has_a_gradient_of_zero_while_training() -> None:
    ffn: Any = random_gpt(**FAMILIES["mixtral"]).get_submodule("blocks.0.ffn").train()
    ffn(torch.randn(1, 1, 32)).sum().backward()
    idle = [e for e in ffn.experts if not e.up.weight.grad.any()]
    assert len(idle) == 2


def test_gated_networks_are_their_formula() -> None:
    for name, activation in (
        ("swiglu", F.silu),
        ("geglu", lambda x: F.gelu(x, approximate="tanh")),
    ):
        ffn = FEED_FORWARDS[name](GPTConfig(**FAMILIES["llama"]))
        randomise(ffn)
        x = torch.randn(3, 32)
        gate, up, down = (getattr(ffn, part).weight for part in ("gate", "up", "down"))
        torch.testing.assert_close(ffn(x), (activation(x @ gate.T) * (x @ up.T)) @ down.T)


def test_a_soft_cap_bounds_and_barely_touches_what_is_small() -> None:
    cap = soft_cap(5.0)
    assert cap(torch.tensor([1e4, -1e4])).tolist() == [5.0, -5.0]
    torch.testing.assert_close(cap(torch.tensor(0.01)), torch.tensor(0.01), atol=1e-6, rtol=0)
    x = torch.randn(3)
    assert soft_cap(0.0)(x) is x


def test_logits_stay_within_their_bound() -> None:
    model = random_gpt(scale=2.0, **FAMILIES["gemma2"])
    assert model(tokens_for(model)).abs().max() <= 3.0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_kv_heads": 3}, "n_kv_heads"),
        ({"n_kv_heads": -1}, "n_kv_heads"),
        ({"head_dim": 7}, "head_dim"),
        ({"norm": "rms"}, "norm"),
        ({"norm_order": "before"}, "norm_order"),
        ({"feed_forward": "relu6"}, "feed_forward"),
        ({"position": "alibi"}, "position"),
        ({"qk_norm": "both"}, "qk_norm"),
        ({"rope_scaling": "su"}, "rope_scaling"),
        ({"rope_scaling": "longrope"}, "rope_factors"),
        ({"rope_scaling": "yarn"}, "rope_original_context"),
        ({"rope_fraction": 0.0}, "rope_fraction"),
        ({"rope_fraction": 1.5}, "rope_fraction"),
        ({"rope_fraction": 0.01}, "head_dim"),
        ({"rope_pattern": ""}, "rope_pattern"),
        ({"rope_pattern": "RX"}, "rope_pattern"),
        ({"rope_scaling": "linear", "rope_factor": 0.5}, "rope_factor"),
        ({"rope_scaling": "llama3"}, "rope_original_context"),
        ({"rope_base": 0.5}, "rope_base"),
        ({"rope_base": math.nan}, "rope_base"),
        ({"rope_local_base": 1.0}, "rope_local_base"),
        ({"window": 0}, "window"),
        ({"window_pattern": ""}, "window_pattern"),
        ({"window_pattern": "LX"}, "window_pattern"),
        ({"n_experts": 4}, "n_active_experts"),
        ({"n_experts": 4, "n_active_experts": 5}, "n_active_experts"),
        ({"n_active_experts": 1}, "n_active_experts"),
        ({"n_experts": 1 << 40}, "n_experts"),
        ({"attention_softcap": -1.0}, "attention_softcap"),
        ({"logit_softcap": math.inf}, "logit_softcap"),
        ({"query_pre_attn_scalar": -4.0}, "query_pre_attn_scalar"),
    ],
)
def test_what_no_model_can_have_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{named} = "):
        GPT(GPTConfig(**_plain_rope() | changes))


def test_derived_widths_follow_what_they_derive_from() -> None:
    config = GPTConfig(emb_dim=64, n_heads=4)
    assert (config.head_dim, config.n_kv_heads, config.ffn_dim) == (16, 4, 256)
    wider = config.replace(emb_dim=128)
    assert (wider.head_dim, wider.ffn_dim) == (32, 512)
    more = config.replace(n_heads=8)
    assert (more.head_dim, more.n_kv_heads) == (8, 8)
    own = GPTConfig(emb_dim=64, n_heads=4, head_dim=24, n_kv_heads=2, ffn_dim=100)
    assert own.replace(emb_dim=128, n_heads=8) == GPTConfig(
        emb_dim=128, n_heads=8, head_dim=24, n_kv_heads=2, ffn_dim=100
    )


def _plain_rope() -> dict[str, Any]:
    return {k: v for k, v in FAMILIES["linear rope"].items() if not k.startswith("rope_")}
