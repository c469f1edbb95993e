"""Where every parameter starts, as a list (Radford et al., 2019, section 2.3):

    norm weight                              1 (zero-centred: 0)
    every bias                               0
    embeddings, output head, projections     normal, standard deviation 0.02
    the last projection on each shortcut     normal, 0.02 / sqrt(2 x n_layers)
    (attn.out and ffn's down)

A part that has a method `init_weights()` is then called to start its own as it likes; other
parameters of a part that groundup does not have stay as it made them.

The shortcut carries the sum of 2 x n_layers contributions; shrinking each keeps that sum's size
independent of depth. An untrained model's logits then have variance 0.0004 x emb_dim, and so its
loss is close to ln(vocab_size) + 0.0002 x emb_dim.
"""

from __future__ import annotations

import math

from torch import nn

from groundup.config import GPTConfig
from groundup.model.positions import LearnedPositions

STANDARD_DEVIATION = 0.02
SHORTCUT_ENDS = ("attn.out", ".down")


def init_weights(model: nn.Module, config: GPTConfig) -> None:
    """Fill every parameter of `model` from torch's random generator, by the list above."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding | LearnedPositions):
            ends_shortcut = name.endswith(SHORTCUT_ENDS)
            shrink = math.sqrt(2 * config.n_layers) if ends_shortcut else 1.0
            nn.init.normal_(module.weight, mean=0.0, std=STANDARD_DEVIATION / shrink)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in model.modules():
        if callable(own := getattr(module, "init_weights", None)):
            own()
