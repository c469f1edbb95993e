"""On a CUDA device, the recorded step writes what the eager one writes, token for token."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from groundup import GPTConfig
from groundup.generate import SamplingConfig, generate_tokens, windows
from groundup.model import GPT

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present"),
]

SHAPE: dict[str, Any] = {"vocab_size": 997, "context_length": 64, "emb_dim": 64, "n_heads": 4}
CONFIGS = {
    "gpt2": GPTConfig(**SHAPE, n_layers=3, qkv_bias=True),
    "qwen": GPTConfig(
        **SHAPE,
        n_layers=3,
        n_kv_heads=2,
        position="rope",
        norm="rmsnorm",
        feed_forward="swiglu",
        window=9,
        qk_norm="head",
    ),
}


def model(name: str) -> GPT:
    made = GPT(CONFIGS[name]).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.to("cuda")


def written(made: GPT, temperature: float = 0.0) -> list[list[int | None]]:
    """Three rows of different lengths, which end one after the other, past the context."""
    count = [0, 0, 0]

    def ended(row: int) -> bool:
        count[row] += 1
        return count[row] >= 30 * (row + 1)

    sampling = SamplingConfig(max_tokens=80, temperature=temperature, seed=5)
    prompts = [[1, 2, 3, 4, 5], [6], [7, 8, 9]]
    return list(generate_tokens(made, prompts, sampling, ended=ended))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_recorded_step_writes_what_the_eager_one_does(
    name: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = model(name)
    recorded = written(made, temperature)
    monkeypatch.setattr(windows, "can_record", lambda config, device: False)
    assert recorded == written(made, temperature)
    assert len(recorded) == 80


def test_a_row_is_read_whole_only_when_its_window_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    made, lengths = model("gpt2"), []
    plain = windows.hidden_states

    def counted(model: GPT, rows: windows.Rows, cache: Any) -> torch.Tensor:
        lengths.append(max(map(len, rows)))
        return plain(model, rows, cache)

    monkeypatch.setattr(windows, "hidden_states", counted)
    list(generate_tokens(made, [[1, 2, 3]], SamplingConfig(max_tokens=50, temperature=0)))
    assert len(lengths) == 1  # the prompt; every token after it is a launch of the graph
