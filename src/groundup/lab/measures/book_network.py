"""The demonstration of shortcuts in "Build a Large Language Model (From Scratch)", section 4.4.

Raschka (2024): five layers of a linear map and a GELU, three inputs, one output, the gradient of a
squared error; with and without a shortcut around each layer that keeps its width.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.lab.experiment import Setting, Values

LAYER_SIZES = (3, 3, 3, 3, 3, 1)
INPUT = (1.0, 0.0, -1.0)
TARGET = 0.0


class BookNetwork(nn.Module):
    """Layers of a linear map and a GELU, each added to its input where `shortcuts` says so."""

    def __init__(self, shortcuts: bool) -> None:
        super().__init__()
        self.shortcuts = shortcuts
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(LAYER_SIZES))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the output (B, 1) of `x` (B, 3), and what leaves each layer, with gradients."""
        made = []
        for layer in self.layers:
            y = F.gelu(layer(x), approximate="tanh")
            x = x + y if self.shortcuts and x.shape == y.shape else y
            x.retain_grad()
            made.append(x)
        return x, made


def measure_book_network(setting: Setting) -> Values:
    """Return the gradients in the network that a seed makes, from the first layer to the last.

    weight_gradients: mean absolute value of the gradient of each layer's weights;
    entering_gradients: Euclidean norm of the gradient that enters each layer, going backwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.cell.seed)
        network = BookNetwork(setting.options["shortcuts"])
    output, made = network(torch.tensor([INPUT]))
    F.mse_loss(output, torch.tensor([[TARGET]])).backward()  # type: ignore[no-untyped-call]
    weights = [_gradient(layer.weight) for layer in network.layers]
    return {
        "weight_gradients": [gradient.abs().mean().item() for gradient in weights],
        "entering_gradients": [_gradient(x).norm().item() for x in made],
    }


def _gradient(tensor: object) -> Tensor:
    assert isinstance(tensor, Tensor)
    assert tensor.grad is not None
    return tensor.grad
