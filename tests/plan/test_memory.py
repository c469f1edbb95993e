"""The sums against what torch keeps, and against the peak of a real process."""

import json
import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from groundup.adapters import attach
from groundup.attend import blockwise
from groundup.config import GPTConfig, TrainConfig, adapter_shapes, parameter_shapes, preset
from groundup.generate import ring
from groundup.generate.windows import TOKENS_AT_ONCE, CachedReader
from groundup.model import GPT
from groundup.optim.activation_checkpointing import checkpoint_blocks
from groundup.optim.fused_loss import CHUNK_VALUES
from groundup.optim.muon import VALUES_AT_ONCE
from groundup.plan import cache_memory, count_parameters, generation_memory, training_memory
from groundup.plan.activations import activations
from groundup.plan.attention import BLOCK, SCORES_AT_ONCE
from groundup.plan.generation import AT_ONCE, RING_SLACK
from groundup.plan.memory import (
    CHECKPOINTING,
    HEAP_SHARE,
    LOSS_CHUNK,
    MUON_LOT,
    PROCESS,
    UNEQUAL_HEAP_SHARE,
)
from groundup.quantized import quantizable, quantize
from tests.scale import scaled

SHAPES: list[dict[str, Any]] = [
    {"emb_dim": 24, "n_heads": 3, "n_layers": 3, "tie_embeddings": True},
    {"emb_dim": 32, "n_heads": 4, "n_layers": 1, "ffn_dim": 100, "qkv_bias": True},
    {"emb_dim": 16, "n_heads": 1, "n_layers": 2, "context_length": 64},
    {"emb_dim": 24, "n_heads": 4, "n_layers": 2, "n_kv_heads": 2, "head_dim": 10},
    {"emb_dim": 24, "n_heads": 4, "n_layers": 2, "position": "rope", "window": 39},
    {"emb_dim": 24, "n_heads": 2, "n_layers": 2, "attention_softcap": 5.0},
    {"emb_dim": 24, "n_heads": 4, "n_layers": 2, "n_kv_heads": 2, "window": 4},
    {
        "emb_dim": 24,
        "n_heads": 4,
        "n_layers": 3,
        "window": 8,
        "window_pattern": "LG",
        "attention_softcap": 5.0,
        "qk_norm": "head",
        "norm": "rmsnorm",
    },
    {"emb_dim": 24, "n_heads": 2, "n_layers": 2, "feed_forward": "relu_squared"},
    {"emb_dim": 24, "n_heads": 3, "n_layers": 2, "n_experts": 7, "n_active_experts": 3},
]
TINY = {"emb_dim": 24, "n_heads": 4, "n_layers": 3, "head_dim": 8, "ffn_dim": 52}
FAMILIES = ("llama3.2-1b", "mistral-7b", "mixtral-8x7b", "qwen2-0.5b", "qwen3-0.6b",
            "qwen3-30b-a3b", "gemma2-2b", "gemma3-270m", "olmo2-1b")  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("rates", [(0.0, None), (0.1, None), (0.1, 0.0), (0.0, 0.1)])
@pytest.mark.parametrize("shape", SHAPES)
def test_activations_are_what_autograd_keeps(
    shape: dict[str, Any], rates: tuple[float, float | None], precision: str
) -> None:
    dropout = {"drop_rate": rates[0], "attention_drop_rate": rates[1]}
    config = GPTConfig(**{"vocab_size": 97, "context_length": 40} | dropout | shape)
    train = TrainConfig(batch_size=3, precision=precision)
    assert _kept(config, train) == activations(config, train)


@pytest.mark.parametrize(
    ("name", "batch_size", "accumulation", "gib"),
    [
        ("gpt2-124m", 128, 1, 41.4),
        ("gpt2-124m", 32, 4, 14.0),
        ("gpt2-1558m", 16, 2, 67.7),
        ("gpt2-1558m", 32, 1, 99.7),
    ],
)
def test_a_gpu_holds_in_bf16_what_was_measured(
    name: str, batch_size: int, accumulation: int, gib: float
) -> None:
    """`torch.cuda.max_memory_allocated` on an H200, blocks and loss compiled."""
    train = TrainConfig(
        batch_size=batch_size,
        accumulation=accumulation,
        device="cuda",
        precision="bf16",
        compile="on",
        optimizer="adamw",
    )
    assert training_memory(preset(name), train).total / 2**30 == pytest.approx(gib, rel=0.05)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("drop_rate", [0.0, 0.1])
@pytest.mark.parametrize("name", FAMILIES)
def test_activations_of_every_family(name: str, drop_rate: float, precision: str) -> None:
    window = {"window": 9} if preset(name).window else {}
    sizes = {**TINY, "n_kv_heads": 2, "context_length": 40, "vocab_size": 97, **window}
    config = preset(name, drop_rate=drop_rate, **sizes)
    train = TrainConfig(batch_size=3, precision=precision)
    assert _kept(config, train) == activations(config, train)


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("name", ["gpt2-124m", "llama3.2-1b", "mixtral-8x7b", "gemma2-2b"])
def test_activations_beside_adapters_are_what_autograd_keeps(name: str, method: str) -> None:
    """But for the first block, whose input needs no gradient: the model is deep enough."""
    window = {"window": 9} if preset(name).window else {}
    sizes: dict[str, Any] = {**TINY, "n_layers": 12, "context_length": 40, "vocab_size": 97}
    config = preset(name, drop_rate=0.0, **sizes, n_kv_heads=4, **window)
    train = TrainConfig(batch_size=3, precision="fp32", method=method, lora_rank=4)
    planned = activations(config, train)
    assert _kept(config, train) == pytest.approx(planned, rel=0.03)
    assert _kept(config, train) <= planned


def test_of_adapters_alone_there_are_gradients_and_averages() -> None:
    config = preset("nano")
    train = TrainConfig(method="lora", optimizer="muon")
    learning = sum(map(math.prod, adapter_shapes(config, "lora", 16).values()))
    memory = training_memory(config, train)
    assert memory.terms["weights"] == 4 * (count_parameters(config).total + learning)
    assert memory.terms["optimizer"] == 8 * learning
    assert memory.terms["gradients"] <= 4 * learning
    assert memory.total < training_memory(config, TrainConfig(optimizer="adamw")).total


def _kept(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes of all different storages that a forward pass keeps, parameters apart."""
    model = GPT(config).train()
    if train.adapts:
        attach(model, train.method, train.lora_rank, train.lora_alpha, 1)
    if train.checkpoint_activations == "on":
        checkpoint_blocks(model.blocks, config.has_dropout)
    seen = {p.untyped_storage().data_ptr(): 0 for p in model.parameters()}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        seen.setdefault(storage.data_ptr(), storage.nbytes())
        alive.append(tensor)  # so that no address is used twice
        return tensor

    tokens = torch.zeros(train.batch_size, config.context_length, dtype=torch.long)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=train.precision == "bf16"),
    ):
        model.hidden_states(tokens)
    return sum(seen.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("drop_rate", [0.0, 0.1])
# Rotary angles are held by the call of a block, out of autograd's sight.
@pytest.mark.parametrize("shape", [s for s in SHAPES if s.get("position") != "rope"])
def test_checkpointed_blocks_keep_their_inputs(
    shape: dict[str, Any], drop_rate: float, precision: str
) -> None:
    config = GPTConfig(**{"vocab_size": 97, "context_length": 40, "drop_rate": drop_rate} | shape)
    train = TrainConfig(batch_size=3, precision=precision, checkpoint_activations="on")
    assert _kept(config, train) == activations(config, train)


def test_terms_and_their_sum() -> None:
    config = preset("gpt2-124m", context_length=256)
    memory = training_memory(config, TrainConfig(batch_size=4, optimizer="adamw"))
    weights = 4 * count_parameters(config).total
    assert memory.terms["weights"] == weights
    assert memory.terms["optimizer"] == 2 * weights
    assert memory.terms["gradients"] == 4 * 50257 * 768, "of the head, while activations are kept"
    assert memory.total == sum(memory.terms.values())
    assert memory.moment == "end of the forward pass"


def test_with_checkpoints_memory_grows_slowly_and_linearly_with_context() -> None:
    def total(length: int, **settings: Any) -> int:
        config = preset("gpt2-124m", context_length=length)
        memory = training_memory(config, TrainConfig(batch_size=1, **settings))
        return memory.total - 16 * length * 768  # its own positions, gradient and moments

    on = {"checkpoint_activations": "on"}
    growth = total(16384, **on) - total(8192, **on)
    assert total(32768, **on) - total(16384, **on) == pytest.approx(2 * growth, rel=0.01)
    assert growth < (total(16384) - total(8192)) / 4
    assert total(8192, **on) < 3 << 30


def test_a_small_batch_is_largest_when_all_gradients_have_come() -> None:
    config = preset("gpt2-124m", context_length=16)
    memory = training_memory(config, TrainConfig(batch_size=1, optimizer="adamw"))
    assert memory.moment == "end of the backward pass"
    assert memory.terms["gradients"] == memory.terms["weights"]
    assert memory.terms["activations"] == 0


def test_muon_keeps_one_average_of_matrices_and_works_on_a_lot_of_them() -> None:
    config = preset("gpt2-124m", context_length=16)
    memory = training_memory(config, TrainConfig(batch_size=1))
    weights, matrices = 4 * count_parameters(config).total, 4 * 12 * 12 * 768**2
    assert memory.moment == "optimizer's work"
    assert memory.terms["gradients"] == weights
    lot = 28 * 4 * 768**2  # of attention, square: before and after a step, and two of its products
    assert memory.terms["optimizer"] == 2 * weights - matrices + 4 * lot


def test_what_makes_a_run_larger() -> None:
    config, train = preset("micro"), TrainConfig(batch_size=8)
    usual = training_memory(config, train).total

    def changed(**changes: Any) -> int:
        return training_memory(config, TrainConfig(**{"batch_size": 8} | changes)).total

    assert changed(batch_size=16) > usual
    assert changed(accumulation=2) > usual
    assert changed(accumulation=2) == changed(accumulation=3)
    assert changed(precision="bf16") < usual
    assert training_memory(config.replace(drop_rate=0.1), train).total > usual
    large = preset("gpt2-124m")
    plain, fused = (
        training_memory(large, TrainConfig(loss=loss, batch_size=16)).total
        for loss in ("plain", "fused")
    )
    assert plain - fused > 8 * 16 * 1024 * 50257


def test_generation_keeps_keys_and_values() -> None:
    config = preset("gpt2-124m")
    one, two = (generation_memory(config, batch_size=n).terms for n in (1, 2))
    assert one["cache"] == 2 * 12 * 1024 * 768 * 4
    assert two["cache"] == 2 * one["cache"]


@pytest.mark.parametrize(
    ("number_format", "n_texts", "mib"),
    [("fp32", 1, 839), ("fp32", 4, 1194), ("bf16", 1, 953), ("int8", 1, 730), ("int8", 4, 1185),
     ("int4", 1, 570), ("int4", 4, 1018)],
)  # fmt: skip
def test_generating_holds_what_was_measured(number_format: str, n_texts: int, mib: int) -> None:
    """`groundup generate` with gpt2-124m, prompts of 1,000 tokens, two threads, Linux x86-64.

    Its texts were bytes: no tokenizer to speak of.
    """
    memory = generation_memory(preset("gpt2-124m"), n_texts, number_format)
    planned = memory.total - memory.terms["tokenizer"]
    assert planned / 2**20 == pytest.approx(mib, rel=0.07)


@pytest.mark.parametrize(
    "norms", [("none", "layernorm"), ("head", "layernorm"), ("head", "rmsnorm")]
)
@pytest.mark.parametrize("how", ["fp32", "autocast", "copy"])
def test_a_cache_is_in_the_format_of_the_products(how: str, norms: tuple[str, str]) -> None:
    sizes: dict[str, Any] = {"vocab_size": 97, "context_length": 40, "emb_dim": 24, "n_heads": 3}
    config = GPTConfig(**sizes, n_layers=2, qk_norm=norms[0], norm=norms[1])
    model = GPT(config).eval().to(torch.bfloat16 if how == "copy" else torch.float32)
    reader = CachedReader(model, 2, 40)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        reader.read([[1, 2, 3]] * 2)
    held = sum(buffer.nbytes for pair in reader.cache.buffers.values() for buffer in pair)
    device = "cuda" if how == "copy" else "cpu"
    train = TrainConfig(precision="fp32" if how == "fp32" else "bf16", device=device)
    assert held == cache_memory(config, 2, train)
    assert how != "fp32" or held == cache_memory(config, 2)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("tied", [True, False])
def test_weights_of_a_quantised_model_are_those_of_its_modules(bits: int, tied: bool) -> None:
    """But for a row's scale."""
    config = preset("nano", n_layers=2, tie_embeddings=tied)
    shapes = list(parameter_shapes(config))
    stored = [quantize(torch.zeros(p.shape), bits) for p in shapes if quantizable(p)]
    plain = 4 * sum(p.size for p in shapes if not quantizable(p))
    n_bytes = sum(c.codes.nbytes + (c.scales.nbytes + c.zeros.nbytes if c.zeros is not None else 0)
                  for c in stored)  # fmt: skip
    if not tied:  # of such an embedding only the rows that are read are in memory
        n_bytes -= int(config.vocab_size * config.emb_dim * (1 if bits == 8 else 0.625))
    terms = generation_memory(config, number_format=f"int{bits}").terms
    assert terms["file"] == n_bytes
    assert terms["weights"] == pytest.approx(n_bytes + plain, rel=0.01)


def test_what_makes_generating_smaller_and_larger() -> None:
    config = preset("llama3.2-1b", context_length=4096, ffn_dim=1024)
    terms = generation_memory(config).terms
    assert terms["cache"] == 2 * 16 * 4096 * 8 * 64 * 4, "shared heads are kept once"
    windowed = generation_memory(config.replace(window=512)).terms
    assert windowed["cache"] == terms["cache"] * (512 + RING_SLACK) / 4096, "rings"
    assert (RING_SLACK, AT_ONCE) == (ring.SLACK, TOKENS_AT_ONCE)
    copies = 4096 * (2 * 32 + 2 * 8) * 64 * 4
    scores = 2 * 32 * 128 * (512 + 128) * 4
    assert windowed["activations"] == terms["activations"] + copies + scores
    capped = generation_memory(config.replace(attention_softcap=50.0)).terms
    assert capped["activations"] < 2 * terms["activations"], "scores are there by blocks"


def test_experts_that_rest_take_memory_but_no_activations() -> None:
    config, train = preset("mixtral-8x7b", n_layers=2, context_length=512), TrainConfig()
    more = config.replace(n_experts=16)
    little, much = (training_memory(c, train).terms for c in (config, more))
    assert much["weights"] > 1.5 * little["weights"]
    assert much["optimizer"] > 0.9 * much["weights"], "an average of what rests, too"
    scores = 2 * 4 * 8 * train.batch_size * 512
    assert activations(more, train) - activations(config, train) == scores


def test_the_chunks_are_those_of_the_loss_of_muon_and_of_attention() -> None:
    assert (blockwise.BLOCK, blockwise.SCORES_AT_ONCE) == (BLOCK, SCORES_AT_ONCE)
    assert CHUNK_VALUES == LOSS_CHUNK
    assert VALUES_AT_ONCE == MUON_LOT


RUN = """
import json, sys
import torch
from groundup.config import GPTConfig, TrainConfig, build
from groundup.device.machine import peak_memory_mib
from groundup.model import GPT, Mask
from groundup.optim.optimizer import build_optimizer
from groundup.optim.step import TrainStep
torch.set_num_threads(2)
config, train = (build(c, t) for c, t in zip((GPTConfig, TrainConfig), json.loads(sys.argv[1])))
step = TrainStep(GPT(config), train.loss)
optimizer = build_optimizer(step.model, train)
for _ in range(2):
    for _ in range(train.accumulation):
        shape = (train.batch_size, config.context_length)
        tokens = torch.randint(0, config.vocab_size, shape)
        loss, n_targets = step(tokens, tokens)
        (loss / n_targets).backward()
    optimizer.step()
    optimizer.zero_grad()
print(peak_memory_mib(torch.device("cpu")))
"""


PROCESSES = 243, 337
"""MiB that processes took which trained next to nothing: this one, and a whole command."""

LLAMA = {
    "norm": "rmsnorm",
    "position": "rope",
    "feed_forward": "swiglu",
    "bias": False,
    "emb_dim": 512,
    "n_heads": 8,
    "n_kv_heads": 2,
    "ffn_dim": 1024,
    "n_layers": 6,
    "vocab_size": 20000,
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the allocator's threshold is glibc's")
@pytest.mark.parametrize(
    ("model", "train"),
    [
        ({"emb_dim": 256, "n_heads": 4, "n_layers": 4, "vocab_size": 2048}, {"batch_size": 96}),
        ({"emb_dim": 512, "n_heads": 8, "n_layers": 6, "vocab_size": 20000}, {"batch_size": 4}),
        ({"emb_dim": 512, "n_heads": 8, "n_layers": 6, "vocab_size": 20000}, {"loss": "plain"}),
        (
            {"emb_dim": 768, "n_heads": 8, "n_layers": 6, "vocab_size": 8000},
            {"batch_size": 2, "accumulation": 2},
        ),
        ({**LLAMA}, {"batch_size": 8}),
        ({**LLAMA, "norm_order": "sandwich", "qk_norm": "head", "window": 64}, {"batch_size": 8}),
        ({**LLAMA, "logit_softcap": 30.0}, {"batch_size": 4}),
        ({**LLAMA, "logit_softcap": 30.0}, {"batch_size": 4, "loss": "plain"}),
        (
            {**LLAMA, "attention_softcap": 50.0, "context_length": 512, "n_layers": 3},
            {"batch_size": 4},
        ),
        (
            {**LLAMA, "n_experts": 8, "n_active_experts": 2, "ffn_dim": 512, "vocab_size": 8000},
            {"batch_size": 12},
        ),
    ],
)
@pytest.mark.parametrize("tied", [True, False][: scaled(2)])
def test_peak_of_a_real_process(model: dict[str, Any], train: dict[str, Any], tied: bool) -> None:
    model = {"context_length": 128, "tie_embeddings": tied} | model
    plan = training_memory(GPTConfig(**model), TrainConfig(**train))
    planned = plan.total - plan.terms["heap"] - PROCESS
    least, most = (size << 20 for size in PROCESSES)
    assert least + 0.92 * planned <= peak_of_process(model, train) <= most + 1.08 * planned


def test_holes_of_the_heap_are_counted_where_it_keeps_what_is_freed() -> None:
    small = GPTConfig(emb_dim=64, n_heads=4, n_layers=2, vocab_size=500, context_length=64)
    terms = training_memory(small, TrainConfig(batch_size=4)).terms
    assert terms["heap"] == int(HEAP_SHARE * (terms["activations"] + terms["logits"])) > 0
    experts = training_memory(small.replace(n_experts=4, n_active_experts=2), TrainConfig()).terms
    passing = experts["activations"] + experts["logits"]
    assert experts["heap"] == int(UNEQUAL_HEAP_SHARE * passing) > HEAP_SHARE * passing
    checkpointed = TrainConfig(checkpoint_activations="on")
    for train in (TrainConfig(allocator="release"), checkpointed, TrainConfig(device="cuda")):
        assert training_memory(small, train).terms["heap"] == 0
    assert training_memory(small, checkpointed).terms["process"] == PROCESS + CHECKPOINTING
    kept = TrainConfig(checkpoint_activations="on", allocator="keep")
    assert training_memory(small, kept).terms["heap"] > 0


def peak_of_process(model: dict[str, Any], train: dict[str, Any]) -> int:
    """Return the most bytes that a process held which trained two steps.

    Large blocks are given back at once, so that this is what is held and nothing else.
    """
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 18)}
    command = [sys.executable, "-c", RUN, json.dumps([model, train])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(float(done.stdout) * 2**20)
