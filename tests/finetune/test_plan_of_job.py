"""What a training of a classifier plans and counts: texts, and what learns."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from groundup import GPT, CharTokenizer, GPTConfig
from groundup.config import TrainConfig
from groundup.data.examples import Example
from groundup.finetune.classifier.api import InPython
from groundup.finetune.settings import ClassifierSettings
from groundup.model import PARTS, Parts
from groundup.model.norms import LayerNorm
from groundup.plan import plan_rows
from groundup.train.choices import choose

TEXTS = [f"{word} {'x' * (i % 7)}{i}" for i in range(30) for word in ("red", "blue")]
TOKENIZER = CharTokenizer.train(TEXTS)


def job(layers: str, parts: Parts = PARTS, **changes: Any) -> InPython:
    numbers: dict[str, Any] = {"vocab_size": TOKENIZER.vocab_size, "context_length": 512}
    numbers |= {"emb_dim": 16, "n_heads": 2, "n_layers": 2, **changes}
    examples = [Example(t, t.split()[0], None, f"text {n}") for n, t in enumerate(TEXTS, 1)]
    model = GPT(GPTConfig(**numbers), parts=parts)
    asked = ClassifierSettings(layers=layers)
    return InPython(model, TOKENIZER, examples, asked, TrainConfig(batch_size=4, epochs=2.0))


@pytest.mark.parametrize("layers", ["head", "last", "all"])
def test_steps_and_passes_are_of_texts(layers: str) -> None:
    made = job(layers)
    n_texts = len(made.train_rows.ids)
    steps = made.steps(2.0, made.settings)
    assert steps == -(-2 * n_texts // 4), "a pooling left open is no hindrance"
    plan = made.plan(TrainConfig(batch_size=4, steps=steps))
    assert plan.passes == pytest.approx(steps * 4 / n_texts)
    assert plan.tokens_per_step == round(4 * made.train_rows.lengths.mean())
    assert dict(plan_rows(plan))["Learns from"].startswith(f"{n_texts} texts of ")
    made.pooling = "last"
    learning = sum(p.numel() for p in made.model(1).parameters() if p.requires_grad)
    assert plan.learning == learning


def test_whether_activations_are_kept_is_decided_by_what_the_job_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = job("last")
    settings = TrainConfig(batch_size=4, device="cpu", precision="fp32")
    needed = made.needs(settings)
    for available, decided in ((needed, "off"), (needed - 1, "on")):
        monkeypatch.setattr("groundup.train.automatic.available_memory", partial(int, available))
        choices = choose(settings, made.widest, needs=made.needs)
        assert choices.config.checkpoint_activations == decided


def test_a_part_of_one_s_own_has_a_plan_too() -> None:
    parts = replace(PARTS, norms={**PARTS.norms, "mine": LayerNorm})
    made = job("all", parts, norm="mine")
    plan = made.plan(TrainConfig(batch_size=4))
    assert plan.unknown_memory == ("activations",)
    assert "unknown" in dict(plan_rows(plan))["Work"]
