"""A quantised model stands for as many parameters as the one that it was made from, and says so."""

from __future__ import annotations

import pytest

from groundup import GPT, preset
from groundup.config import parameter_shapes
from groundup.model import empty_gpt
from groundup.quantized import quantizable, quantize, swap_in


@pytest.mark.parametrize("name", ["pico", "gpt2-pico"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_printed_number_of_parameters_is_the_same(name: str, tied: bool, bits: int) -> None:
    sizes = {"n_layers": 2, "emb_dim": 64, "n_heads": 2, "vocab_size": 300}
    model = GPT(preset(name, tie_embeddings=tied, **sizes))
    shapes = {parameter.name: parameter for parameter in parameter_shapes(model.config)}
    tensors = {
        name: quantize(p.detach(), bits) if quantizable(shapes[name]) else p.detach()
        for name, p in model.named_parameters()
    }
    quantised = empty_gpt(model.config)
    swap_in(quantised, tensors)
    assert quantised.extra_repr() == model.extra_repr()
