"""A run in 8 and 4 bits: as good as it says, taken by every verb, refused where it is worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from groundup import load
from groundup.base.errors import GroundupError, RunError
from groundup.generate.quantize import quantize_run
from groundup.quantized import QuantizedEmbedding, QuantizedLinear
from groundup.quantized.linear import JointLinear
from groundup.runs.checkpoint import list_checkpoints, write_tensors
from groundup.weights import export_model
from tests.cli.conftest import Groundup, groundup, story, trained, trained_once

__all__ = ["groundup", "story", "trained", "trained_once"]


@pytest.mark.parametrize("bits", [8, 4])
def test_every_verb_takes_it(groundup: Groundup, trained: Path, bits: int) -> None:
    done = groundup("quantize", trained, "--bits", bits, "--limit", 5)
    assert (done.status, done.err) == (0, "")
    assert "Loss" in done.out
    run = Path(f"runs/story-pico-int{bits}")
    assert "quantized" in groundup("runs").out
    for words in (
        ("generate", run, "The", "--max-tokens", 5, "--seed", 1),
        ("evaluate", run),
        ("report", run),
        ("compare", trained, run),
        ("export", run, "out"),
        ("export", run, "out.own", "--format", "safetensors"),
    ):
        done = groundup(*words)
        assert done.status == 0, done.err
    assert groundup("chat", run, "--max-tokens", 3, stdin="The\n").status == 0


def test_the_weights_are_held_as_codes_alone(groundup: Groundup, trained: Path) -> None:
    groundup("quantize", trained, "--to", "small")
    model = load("small").model
    kinds = {name: type(module) for name, module in model.named_modules()}
    assert kinds["token_embedding"] is QuantizedEmbedding
    assert kinds["lm_head"] is QuantizedLinear
    assert kinds["blocks.0.ffn.down"] is QuantizedLinear
    assert not any(isinstance(module, torch.nn.Linear) for module in model.modules())


def test_query_key_and_value_are_one_product(groundup: Groundup, trained: Path) -> None:
    groundup("quantize", trained, "--to", "small")
    attn: Any = load("small").model.blocks[0].attn
    assert isinstance(attn.query, JointLinear)
    assert attn.query.joint is attn.key.joint is attn.value.joint
    x = torch.randn(2, 3, 16)
    parts = torch.cat([layer(x) for layer in (attn.query, attn.key, attn.value)], dim=-1)
    assert torch.equal(parts, attn.query.joint.linear(x))
    assert attn.query.joint.seen is None


def test_it_is_the_export_in_numbers(groundup: Groundup, trained: Path) -> None:
    """The exported fp32 numbers give the logits of the codes, within what int8 vectors cost."""
    groundup("quantize", trained, "--to", "small")
    export_model("small", "own", "safetensors")
    assert groundup("import", "own", "back").status == 0
    tokens = torch.arange(16)[None]
    with torch.inference_mode():
        ours, back, first = (load(run).model(tokens) for run in ("small", "back", trained))
    assert (ours - back).norm() < 0.02 * back.norm()
    assert (back - first).norm() < 0.02 * first.norm()


def test_a_loss_that_grows_too_much_is_refused(
    groundup: Groundup, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([2.0, 2.1, 2.1])  # before, and in 8 bits with vectors in 8 and in 16
    monkeypatch.setattr("groundup.cli.quantize._loss", lambda *asked: next(losses))
    refused = groundup("quantize", trained, "--bits", 8, "--limit", 4)
    assert refused.status == 1
    assert "grows from 2.0000 to 2.1000, by 5.00%, and at most 4.00%" in refused.error
    assert "nothing was kept" in refused.error
    assert not Path("runs/story-pico-int8").exists()


def test_what_makes_no_sense_is_refused(groundup: Groundup, trained: Path) -> None:
    assert groundup("quantize", trained, "--bits", 3).status == 2
    assert groundup("quantize", trained, "--limit", -1).status == 2
    Path("small").mkdir()  # empty, and so as good as none
    assert groundup("quantize", trained, "--to", "small").status == 0
    again = groundup("quantize", trained, "--to", "small")
    assert again.status == 2
    assert "is there already" in again.error
    twice = groundup("quantize", "small")
    assert twice.status == 2
    assert str(trained) in twice.error
    learning = groundup("train", "story.txt", "--from", "small")
    assert learning.status == 2
    assert str(trained) in learning.error


def test_damage_is_named(groundup: Groundup, trained: Path) -> None:
    groundup("quantize", trained, "--to", "small")
    [checkpoint] = list_checkpoints(Path("small/checkpoints"))
    tensors = checkpoint.model_tensors()
    file = checkpoint.path / "model.safetensors"
    name = "blocks.0.attn.out.weight.scales"
    damaged = {key: tensor.clone() for key, tensor in tensors.items() if key != name}
    del tensors
    write_tensors(damaged, file)
    with pytest.raises(GroundupError, match=r"model.safetensors has|does not have"):
        load("small")


def test_vectors_take_16_bits_where_8_cost_too_much(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.generate.quantize.can_multiply_whole_bytes", lambda: True)

    def run_in(kept: list[float]) -> tuple[int, int | None]:
        losses = iter(kept)
        done = quantize_run(trained, tmp_path / str(len(kept)), 8, lambda run: next(losses))
        table = load(done.path).manifest.quantization
        return done.vector_bits, table.vector_bits if table else None

    assert run_in([2.0, 2.005]) == (8, 8)
    assert run_in([2.0, 2.02, 2.009]) == (16, 16)
    with pytest.raises(RunError, match=r"by 0\.60%, and at most 0\.50% is accepted"):
        run_in([2.0, 2.1, 2.012, 0.0])
    assert not (tmp_path / "4").exists()
