"""Twenty steps whose losses are pinned: any change in what is learnt shows here."""

from __future__ import annotations

from typing import Any

import pytest

from groundup import CharTokenizer, preset
from groundup.train import new_model, train
from tests.texts import sentences

PINNED = [
    3.377633, 3.283206, 3.198971, 3.147345, 3.107268, 3.083491, 3.045705, 2.963031, 2.950495,
    2.929224, 2.885333, 2.866394, 2.865225, 2.841665, 2.826307, 2.819036, 2.819995, 2.770254,
    2.778636, 2.766423,
]  # fmt: skip


PINNED_DEFAULT = [
    3.38496, 3.30425, 3.17753, 3.088021, 2.983242, 2.913294, 2.859532, 2.781412, 2.764335,
    2.78904, 2.704944, 2.69916, 2.698341, 2.661296, 2.637256, 2.63266, 2.618608, 2.543335,
    2.581266, 2.558505,
]  # fmt: skip

GPT2: dict[str, Any] = {"optimizer": "adamw", "learning_rate": 3e-3, "schedule": "cosine"}


def curve(name: str, **settings: Any) -> list[float]:
    text = sentences(300)
    tokenizer = CharTokenizer.train([text])
    sizes = {"context_length": 32, "emb_dim": 32, "n_heads": 4, "n_layers": 2}
    model = new_model(preset(name, vocab_size=tokenizer.vocab_size, **sizes), seed=7)
    options: dict[str, Any] = {"steps": 20, "batch_size": 8, "threads": 1, "show": False}
    records = train(model, tokenizer, text, **{**options, **settings})
    return [record["train_loss"] for record in records if "train_loss" in record]


def test_twenty_steps_of_gpt2_and_adamw_are_as_pinned() -> None:
    assert curve("gpt2-pico", **GPT2) == pytest.approx(PINNED, rel=1e-4)


def test_twenty_steps_of_the_default_are_as_pinned() -> None:
    assert curve("pico") == pytest.approx(PINNED_DEFAULT, rel=1e-4)


def test_the_plain_loss_learns_the_same() -> None:
    assert curve("gpt2-pico", loss="plain", **GPT2) == pytest.approx(PINNED, rel=1e-4)
    assert curve("pico", loss="plain") == pytest.approx(PINNED_DEFAULT, rel=1e-4)


def test_another_seed_learns_otherwise() -> None:
    assert curve("gpt2-pico", seed=2, **GPT2) != pytest.approx(PINNED, rel=1e-4)


def test_a_model_that_was_evaluated_before_learns_the_same() -> None:
    """Training it, and only that, is what it is put into training mode for: dropout works."""
    text = sentences(300)
    tokenizer = CharTokenizer.train([text])
    sizes = {"context_length": 32, "emb_dim": 32, "n_heads": 4, "n_layers": 2, "drop_rate": 0.5}
    config = preset("pico", vocab_size=tokenizer.vocab_size, **sizes)
    fresh, evaluated = new_model(config, seed=7), new_model(config, seed=7).eval()
    options: dict[str, Any] = {"steps": 3, "batch_size": 4, "threads": 1, "show": False}
    curves = [
        [r["train_loss"] for r in train(m, tokenizer, text, **options) if "train_loss" in r]
        for m in (fresh, evaluated)
    ]
    assert curves[0] == curves[1]
