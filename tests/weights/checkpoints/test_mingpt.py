"""minGPT's checkpoints against the same architecture, written down here from its description.

minGPT is GPT-2 with an output head of its own: layer norms before attention and network, one
matrix for query, key and value, GELU in the tanh form, biases in all but the head.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup.base.errors import RunError, UsageError
from tests.model.helpers import randomise
from tests.weights.checkpoints.helpers import assert_same, opened, saved

WIDTH, N_HEADS, N_LAYERS, CONTEXT, VOCABULARY = 24, 3, 2, 16, 61


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH)
        self.c_proj = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("bias", torch.ones(CONTEXT, CONTEXT).tril()[None, None])

    def forward(self, x: Tensor) -> Tensor:
        n_texts, n_tokens, _ = x.shape
        parts = self.c_attn(x).view(n_texts, n_tokens, 3, N_HEADS, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        scores = query @ key.mT / math.sqrt(WIDTH / N_HEADS)
        hidden = self.get_buffer("bias")[..., :n_tokens, :n_tokens] == 0
        mixed = scores.masked_fill(hidden, -math.inf).softmax(-1) @ value
        result: Tensor = self.c_proj(mixed.transpose(1, 2).flatten(2))
        return result


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = Attention()
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)}
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        y = self.mlp["c_fc"](self.ln_2(x))
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        result: Tensor = x + self.mlp["c_proj"](y)
        return result


class MinGPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(VOCABULARY, WIDTH),
                "wpe": nn.Embedding(CONTEXT, WIDTH),
                "h": nn.ModuleList(Block() for _ in range(N_LAYERS)),
                "ln_f": nn.LayerNorm(WIDTH),
            }
        )
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        randomise(self)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.transformer
        x = parts["wte"](tokens) + parts["wpe"](torch.arange(tokens.shape[1]))
        for block in parts["h"].children():
            x = block(x)
        result: Tensor = self.lm_head(parts["ln_f"](x))
        return result


def test_logits_are_those_of_mingpt(tmp_path: Path) -> None:
    theirs = MinGPT().eval()
    assert_same(opened(saved(tmp_path, theirs.state_dict()), n_heads=N_HEADS), theirs)


@pytest.mark.parametrize("told", [{"n_head": 3, "block_size": 16}, {"model_type": "gpt-nano"}])
def test_its_config_beside_the_file_tells_the_heads(tmp_path: Path, told: dict[str, Any]) -> None:
    file = saved(tmp_path, MinGPT().state_dict(), "model.pt")
    whole = {"system": {"seed": 3407}, "model": told | {"n_layer": None}, "trainer": {}}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    assert opened(file).config.n_heads == 3
    (tmp_path / "config.json").write_text(json.dumps({"model": told | {"block_size": 99}}))
    with pytest.raises(RunError, match="context_length = 99, but its tensors have 16"):
        opened(file)


def test_a_tied_head_without_a_word_of_the_tool_is_asked_about(tmp_path: Path) -> None:
    theirs = MinGPT().eval()
    theirs.lm_head.weight = theirs.transformer["wte"].get_parameter("weight")
    file = saved(tmp_path, theirs.state_dict())
    with pytest.raises(UsageError, match=r"nanoGPT .* or minGPT.*: .* do not tell feed_forward"):
        opened(file, n_heads=N_HEADS)
    assert_same(opened(file, n_heads=N_HEADS, feed_forward="gelu_tanh"), theirs)
