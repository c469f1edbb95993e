"""Matrices in 8 and 4 bits: what they stand for, and every kernel against writing them out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from groundup.base.errors import RunError
from groundup.quantized import Codes, from_tensors, quantize, to_tensors
from groundup.quantized.kernels import FourBits, OneDNN, QuantizedOperators, Widening, kernel

ROWS, WIDTH = 100, 64


def matrix(seed: int = 0) -> Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(seed))


def test_eight_bits_are_within_half_a_step() -> None:
    weight = matrix()
    found = quantize(weight, 8)
    step = weight.abs().amax(dim=1, keepdim=True) / 127
    assert ((found.dequantized() - weight).abs() <= step / 2 + 1e-6).all()
    assert found.codes.dtype == torch.int8
    assert found.shape == weight.shape


def test_four_bits_beat_the_plain_range_of_each_group() -> None:
    """The search never loses to scale = (high - low) / 15, in squared error."""
    weight = matrix()
    found = quantize(weight, 4)
    groups = weight.view(ROWS, -1, found.group)
    low, high = groups.aminmax(dim=-1, keepdim=True)
    scale = (high - low) / 15
    plain = ((groups - low) / scale).round() * scale + low
    error = (found.dequantized() - weight).square().sum()
    assert error < 0.95 * (plain - groups).square().sum()
    assert found.codes.shape == (ROWS, WIDTH // 2)


def test_a_width_of_half_a_group_stays_in_eight_bits() -> None:
    assert quantize(torch.randn(4, 48), 4).bits == 8


@pytest.mark.parametrize("bits", [8, 4])
def test_rows_are_those_of_the_whole(bits: int) -> None:
    found = quantize(matrix(), bits)
    rows = torch.tensor([[1, 7], [99, 0]])
    assert torch.equal(found[rows].dequantized(), found.dequantized()[rows])


@pytest.mark.parametrize("bits", [8, 4])
def test_scatter_and_gather_are_inverse(bits: int) -> None:
    found = quantize(matrix(), bits)
    tensors = to_tensors("a.weight", found) | {"b": torch.ones(2)}
    back = from_tensors(tensors)
    assert set(back) == {"a.weight", "b"}
    assert isinstance(back["a.weight"], Codes)
    assert torch.equal(back["a.weight"].dequantized(), found.dequantized())


DAMAGE = {
    "codes of another type": {"codes": torch.zeros(ROWS, WIDTH)},
    "scales of another length": {"scales": torch.ones(ROWS - 1, 1)},
    "scales that are no numbers": {"scales": torch.full((ROWS, 1), math.nan)},
    "zeros beside 8 bits": {"zeros": torch.ones(ROWS, 1)},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_parts_that_do_not_fit_are_refused(damage: dict[str, Tensor]) -> None:
    tensors = to_tensors("a.weight", quantize(matrix(), 8))
    with pytest.raises(RunError, match=r"a\.weight"):
        from_tensors(tensors | {f"a.weight.{part}": tensor for part, tensor in damage.items()})


def test_scales_that_are_missing_are_refused() -> None:
    tensors = to_tensors("a.weight", quantize(matrix(), 8))
    del tensors["a.weight.scales"]
    with pytest.raises(RunError, match="scales"):
        from_tensors(tensors)


KERNELS = [
    (8, QuantizedOperators),
    (8, OneDNN),
    (4, FourBits),
    (8, Widening),
    (4, Widening),
]
UNAVAILABLE = (AttributeError, RuntimeError)  # of which NotImplementedError is one


@pytest.mark.parametrize("n_vectors", [1, 5])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize(("bits", "kind"), KERNELS)
def test_kernels_multiply(bits: int, kind: type, has_bias: bool, n_vectors: int) -> None:
    """Within what 8 bits of the vectors (bf16 in 4 bits) may cost: 1% of the product's size."""
    weight = quantize(matrix(), bits)
    bias = torch.randn(ROWS) * 10 if has_bias else None
    x = torch.randn(n_vectors, WIDTH, generator=torch.Generator().manual_seed(1))
    try:
        found = kind(weight, bias)(x)
    except UNAVAILABLE as error:
        pytest.skip(f"no such operator here: {error}")
    product = x @ weight.dequantized().T
    expected = product if bias is None else product + bias
    assert found.shape == expected.shape
    assert (found - expected).norm() < 0.02 * product.norm()


@pytest.mark.parametrize("kind", [QuantizedOperators, OneDNN])
def test_a_large_vector_takes_no_bits_from_its_neighbours(kind: type) -> None:
    weight = quantize(matrix(), 8)
    x = torch.randn(3, WIDTH)
    x[0] *= 1000
    expected = x @ weight.dequantized().T
    try:
        made = kind(weight, None)
    except UNAVAILABLE as reason:
        pytest.skip(f"no such operator here: {reason}")
    error = (made(x) - expected).norm(dim=1) / expected.norm(dim=1)
    assert (error < 0.02).all()


@pytest.mark.parametrize("n_vectors", [1, 5])
def test_vectors_in_16_bits_cost_no_more_than_the_weights(n_vectors: int) -> None:
    """Also where one number of a vector is so large that 8 bits leave the others no steps."""
    weight, bias = quantize(matrix(), 8), torch.randn(ROWS)
    x = torch.randn(n_vectors, WIDTH)
    x[:, 3] *= 100
    x[0] *= 1000
    expected = x @ weight.dequantized().T + bias
    error = (kernel(weight, bias, 16)(x) - expected).norm(dim=1) / expected.norm(dim=1)
    assert (error < 5e-4).all()


def test_a_vector_of_zeros_is_no_division_by_zero() -> None:
    bias = torch.randn(ROWS)
    found = kernel(quantize(matrix(), 8), bias)(torch.zeros(2, WIDTH))
    torch.testing.assert_close(found, bias.expand(2, -1))
