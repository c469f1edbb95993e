"""What a report says about a model is what the model is."""

import re

import pytest

from groundup.config import PRESETS, preset
from groundup.plan import count_parameters
from groundup.report.architecture import architecture


def words(name: str) -> str:
    return re.sub(r"<[^>]+>|\s+", " ", architecture(preset(name)))


@pytest.mark.parametrize(
    ("name", "said", "unsaid"),
    [
        (
            "gpt2-nano",
            ["Position embedding", "norm, then 6 heads of 32;", "192 → 768 → 192 with GELU;"],
            ["RMS", "Rotary", "expert", "gate", "router", "within", "sharing", "tokens at most"],
        ),
        (
            "mixtral-8x7b",
            [
                "RMS norm, then 32 heads of 128, sharing 8 of keys and values;",
                "Rotary positions",
                "the best 2 of 8 experts, each 4,096 → 14,336 → 4,096 times a gate with SiLU",
                "12,879,925,248 are at work on a token",
                "router",
                "its own matrix",
            ],
            ["Position embedding", "tokens at most"],
        ),
        (
            "gemma2-2b",
            [
                "256,000 × 2,304, times √width",
                "13 layers seeing 4,096 tokens at most, scores within ±50, then RMS norm",
                "times a gate with GELU",
                "the token embedding once more, logits within ±30",
            ],
            ["expert", "normed"],
        ),
        (
            "olmo2-1b",
            ["16 heads of 128, queries and keys normed as a whole, then RMS norm; the"],
            ["norm, then 16", "sharing"],
        ),
        (
            "nano",
            ["RMS norm, then 6 heads of 32, queries and keys normed", "192 → 512 → 192 times a"],
            ["Position embedding"],
        ),
        ("qwen3-0.6b", ["sharing 8 of keys and values, queries and keys normed in each"], []),
    ],
)
def test_a_model_is_described_as_it_is(name: str, said: list[str], unsaid: list[str]) -> None:
    text = words(name)
    assert [phrase for phrase in said if phrase not in text] == []
    assert [phrase for phrase in unsaid if phrase in text] == []


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_its_total_on_the_page(name: str) -> None:
    assert f"<b>{count_parameters(preset(name)).total:,}</b>" in architecture(preset(name))
