"""Training on a CUDA device: the numbers of the CPU, the same run again, the memory planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup import GPTConfig, TrainConfig
from groundup.config import preset
from groundup.data import IGNORED, Batches, TokenSplit
from groundup.optim import compiled, fused_loss
from groundup.plan import training_memory
from groundup.train import Trainer, TrainStep, choose, new_model, plain_loss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present"),
]

SHAPE: dict[str, Any] = {"vocab_size": 997, "context_length": 64, "emb_dim": 128, "n_heads": 4}
GPT2 = GPTConfig(**SHAPE, n_layers=2, qkv_bias=True, tie_embeddings=True)
QWEN = GPTConfig(
    **SHAPE,
    n_layers=2,
    n_kv_heads=2,
    position="rope",
    norm="rmsnorm",
    feed_forward="swiglu",
    qk_norm="head",
)


def trainer(config: GPTConfig, device: str, **changes: Any) -> Trainer:
    options = {"steps": 8, "batch_size": 4, "accumulation": 2, "precision": "fp32"}
    settings = TrainConfig(**{**options, "compile": "off", "device": device, **changes})
    choices = choose(settings, config)
    ids = np.random.default_rng(0).integers(config.vocab_size, size=20_000)
    split = TokenSplit.from_array(ids, len(ids))
    return Trainer(
        step=TrainStep(
            new_model(config, seed=3).to(device),
            settings.loss,
            loss_chunk=choices.config.loss_chunk,
            copy_dtype=choices.copy_dtype,
        ),
        batches=Batches(split, config.context_length, settings.batch_size, settings.seed),
        choices=choices,
        evaluate=lambda *asked: None,
        sample=lambda progress: None,
        listeners=[],
    )


def weights_after(steps: int, ours: Trainer) -> tuple[list[float | None], dict[str, torch.Tensor]]:
    for _ in range(steps):
        ours.take_step()
    losses = ours.progress.unlogged[-steps:]
    return losses, {name: p.detach().cpu() for name, p in ours.model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("config", [GPT2, QWEN], ids=["gpt2", "qwen"])
def test_fp32_steps_are_those_of_the_cpu(config: GPTConfig, optimizer: str) -> None:
    wanted, weights = weights_after(3, trainer(config, "cpu", optimizer=optimizer))
    got, on_gpu = weights_after(3, trainer(config, "cuda", optimizer=optimizer))
    assert got == pytest.approx(wanted, rel=1e-5)
    for name, weight in weights.items():
        # It adds the same to all scores of a row: its gradient is 0, and rounding decides.
        if name.endswith("key.bias"):
            continue
        # AdamW's first steps move a weight by the rate whatever its gradient: hence not closer.
        difference = (on_gpu[name] - weight).norm() / weight.norm().clamp(min=1e-3)
        assert difference < 1e-3, name


@pytest.mark.parametrize("config", [GPT2, QWEN], ids=["gpt2", "qwen"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_steps_are_the_eager_ones(config: GPTConfig, precision: str) -> None:
    torch.compiler.reset()
    wanted, _ = weights_after(4, trainer(config, "cuda", precision=precision))
    got, _ = weights_after(4, trainer(config, "cuda", precision=precision, compile="on"))
    assert got == pytest.approx(wanted, rel=1e-5 if precision == "fp32" else 2e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_bf16_steps_follow_the_fp32_ones(optimizer: str) -> None:
    wanted, _ = weights_after(8, trainer(GPT2, "cuda", optimizer=optimizer))
    got, _ = weights_after(8, trainer(GPT2, "cuda", optimizer=optimizer, precision="bf16"))
    assert got == pytest.approx(wanted, rel=5e-3)
    assert got != wanted


@pytest.mark.parametrize("number", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compile_", [False, True])
def test_the_fused_loss_is_the_plain_one(number: torch.dtype, compile_: bool) -> None:
    hidden = torch.randn(700, 128, device="cuda").to(number).requires_grad_()
    weight = (0.1 * torch.randn(997, 128, device="cuda")).to(number).requires_grad_()
    targets = torch.randint(997, (700,), device="cuda")
    targets[::7] = IGNORED
    exact = [x.detach().double().requires_grad_() for x in (hidden, weight)]
    wanted = plain_loss(exact[0], exact[1], targets)
    rows = fused_loss.losses_and_gradients
    if compile_:
        rows = torch.compile(compiled.reduce_and_map)
    got = fused_loss.fused_loss(hidden, weight, targets, row_losses=rows)
    close = 1e-6 if number == torch.float32 else 1e-3
    assert float(got) == pytest.approx(float(wanted), rel=close)
    for ours, theirs in zip(
        torch.autograd.grad(got, (hidden, weight)), torch.autograd.grad(wanted, exact), strict=True
    ):
        error = (ours.double() - theirs).norm() / theirs.norm()
        assert error < (1e-5 if number == torch.float32 else 1e-2)


def test_a_run_goes_on_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        _, wanted = weights_after(6, trainer(GPT2, "cuda", precision="bf16"))
        first = trainer(GPT2, "cuda", precision="bf16")
        _, half = weights_after(3, first)
        kept = {name: value.cpu() for name, value in first.learner.memory().items()}
        second = trainer(GPT2, "cuda", precision="bf16")
        second.restore(first.progress, half, kept)
        _, got = weights_after(3, second)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(got[name], weight) for name, weight in wanted.items())


def test_weights_from_the_gpu_load_on_the_cpu(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    ours = trainer(GPT2, "cuda", precision="bf16")
    _, weights = weights_after(2, ours)
    path = tmp_path / "model.safetensors"
    save_file({name: p.detach() for name, p in ours.model.named_parameters()}, path)
    model = new_model(GPT2, seed=9)
    model.load_state_dict(load_file(path, device="cpu"), strict=False)
    tokens = torch.randint(997, (2, 64))
    wanted = ours.model.eval()(tokens.cuda()).cpu()
    torch.testing.assert_close(model.eval()(tokens), wanted, atol=1e-4, rtol=1e-4)
    assert all(p.dtype == torch.float32 for p in weights.values())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_peak_memory_is_within_a_quarter_of_the_plan(precision: str, optimizer: str) -> None:
    config, options = preset("gpt2-124m"), {"precision": precision, "optimizer": optimizer}
    ours = trainer(config, "cuda", batch_size=4, accumulation=1, **options)
    torch.cuda.reset_peak_memory_stats()
    weights_after(2, ours)
    planned = training_memory(config, ours.config).total
    assert torch.cuda.max_memory_allocated() == pytest.approx(planned, rel=0.25)
