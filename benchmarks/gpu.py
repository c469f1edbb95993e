"""`python -m benchmarks.gpu`: training and writing on a CUDA GPU, side by side with the peers.

All take turns in this one process, A B C, A B C; each turn builds its model anew, warms up and is
timed. Compiled code is kept between turns, and compiling is outside of what is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import re
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.plain_gpt2 import PlainGPT2, Shape
from benchmarks.report import publish
from benchmarks.turns import Record, middle, parse
from groundup.config import GPTConfig, TrainConfig, preset
from groundup.data import Batches, TokenSplit
from groundup.device.rates import matmul_rate, synchronize
from groundup.generate import SamplingConfig, generate_tokens
from groundup.plan import training_flops_per_token
from groundup.train import Trainer, TrainStep, choose, new_model
from groundup.train.signals import StopRequest

DATASHEET = 989e12
"""bf16 FLOP/s that NVIDIA gives for the H100 SXM and the H200, without sparsity."""
GLOBAL_BATCH = {"gpt2-124m": (32, 4), "gpt2-1558m": (8, 4)}
"""Sequences at once, and how many times in a step."""
QUICK = {"vocab_size": 512, "context_length": 64, "emb_dim": 64, "n_heads": 2, "n_layers": 2}
PADDED = 50304
"""The vocabulary that nanoGPT rounds up to, and here all peers: theirs compute faster so."""
WARM_UP, PROMPT, WRITTEN = 3, 32, 256
BF16 = torch.bfloat16

Ticks = list[float]
"""The time (s) at the end of each step."""


class Clock:
    """Notes when `Trainer.fit` tells of a step."""

    def __init__(self) -> None:
        self.ticks: Ticks = []

    def metrics(self, record: dict[str, Any]) -> None:
        if "train_loss" in record:
            self.ticks.append(time.perf_counter())

    def sample(self, *told: Any) -> None: ...
    def timed(self, *told: Any) -> None: ...
    def save(self, *told: Any) -> None: ...


def ours(config: GPTConfig, at_once: int, times: int, steps: int, device: str) -> Ticks:
    """groundup's own `Trainer.fit`, with nothing left out but validation and samples."""
    settings = TrainConfig(
        steps=steps,
        batch_size=at_once,
        accumulation=times,
        learning_rate=3e-4,
        beta2=0.95,
        device=device,
        precision="bf16",
        compile="off" if device == "cpu" else "on",
        sample_tokens=0,
    )
    choices = choose(settings, config.emb_dim)
    with torch.device(device):
        model = new_model(config, seed=1)
    text = torch.randint(config.vocab_size, (400_000,)).numpy()
    clock = Clock()
    trainer = Trainer(
        step=TrainStep(model, settings.loss, 0.0, choices.copy_dtype),
        batches=Batches(TokenSplit.from_array(text, len(text)), config.context_length, at_once, 1),
        choices=choices,
        evaluate=lambda max_tokens: None,
        sample=lambda: None,
        listeners=[clock],
    )
    with StopRequest() as stop:
        trainer.fit(stop)
    return clock.ticks


def peer(
    build: Callable[[GPTConfig], tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]],
    config: GPTConfig,
    at_once: int,
    times: int,
    steps: int,
    device: str,
) -> Ticks:
    """Train as nanoGPT does: autocast over fp32 weights, clipping, fused AdamW."""
    with torch.device(device):
        model, loss_of = build(config)
    optimizer = torch.optim.AdamW(
        model.parameters(), 3e-4, (0.9, 0.95), weight_decay=0.1, fused=True
    )
    ticks: Ticks = []
    for _ in range(steps):
        for _ in range(times):
            tokens, targets = torch.randint(
                config.vocab_size, (2, at_once, config.context_length), device=device
            )
            with torch.autocast(device, BF16):
                loss = loss_of(tokens, targets) / times
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        ticks.append(time.perf_counter())
    return ticks


def compiled(model: Any, quick: bool) -> Any:
    return model if quick else torch.compile(model, dynamic=False)


def build_plain(
    config: GPTConfig, whole: bool, quick: bool
) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    c = config
    size = c.vocab_size if quick else PADDED
    model = PlainGPT2(Shape(size, c.context_length, c.emb_dim, c.n_heads, c.n_layers))
    if not whole and not quick:
        for block in model.blocks:
            block.compile(dynamic=False)
    return model, compiled(model.loss, quick or not whole)


def build_nanogpt(
    config: GPTConfig, path: str, quick: bool
) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    if path not in sys.path:
        sys.path.insert(0, path)
    import model as theirs

    c = config
    size = c.vocab_size if quick else PADDED
    shape = {"n_layer": c.n_layers, "n_head": c.n_heads, "n_embd": c.emb_dim, "dropout": 0.0}
    model = theirs.GPT(
        theirs.GPTConfig(block_size=c.context_length, vocab_size=size, bias=True, **shape)
    )
    run = compiled(model, quick)
    return model, lambda tokens, targets: run(tokens, targets)[1]


def gpt2_of_transformers(config: GPTConfig, vocab_size: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"n_layer": config.n_layers, "n_head": config.n_heads, "n_embd": config.emb_dim}
    drop = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    ends = {"bos_token_id": 0, "eos_token_id": None, "pad_token_id": 0}
    places = {"n_positions": config.context_length, "vocab_size": vocab_size}
    return GPT2LMHeadModel(GPT2Config(**shape, **drop, **ends, **places))


def build_transformers(
    config: GPTConfig, quick: bool
) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    model = gpt2_of_transformers(config, config.vocab_size if quick else PADDED)
    run = compiled(model, quick)

    def loss_of(tokens: Tensor, targets: Tensor) -> Tensor:
        logits = run(tokens, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return model, loss_of


def write_ours(config: GPTConfig, written: int, device: str) -> float:
    """Return the seconds that `generate_tokens` takes, everything in it included."""
    with torch.device(device):
        model = new_model(config, seed=1).to(BF16)
    sampling = SamplingConfig(max_tokens=written, temperature=0)
    prompt = list(range(PROMPT))
    return shortest(lambda: list(generate_tokens(model, [prompt], sampling)), device)


def write_transformers(config: GPTConfig, written: int, device: str) -> float:
    with torch.device(device):
        model = gpt2_of_transformers(config, config.vocab_size).to(BF16).eval()
    prompt = torch.arange(PROMPT, device=device)[None]
    options = {"max_new_tokens": written, "min_new_tokens": written, "do_sample": False}
    return shortest(lambda: model.generate(prompt, **options), device)


def shortest(work: Callable[[], object], device: str, times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        synchronize(torch.device(device))
        seconds.append(time.perf_counter() - begun)
    return min(seconds[1:])


def bandwidth(device: str, n_bytes: int) -> float:
    """Return the best rate (bytes/s, read and written) of a copy on the device."""
    source = torch.randint(256, (n_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * n_bytes / shortest(lambda: target.copy_(source), device, 10)


def training_part(name: str, options: argparse.Namespace, device: str) -> Record:
    quick = options.quick
    config = preset(name, **(QUICK if quick else {}))
    at_once, times = (2, 2) if quick else GLOBAL_BATCH[name]
    job = (config, at_once, times, WARM_UP + options.steps, device)
    contestants: dict[str, Callable[[], Ticks]] = {"groundup": partial(ours, *job)}
    missing: dict[str, str] = {}
    plain = partial(build_plain, quick=quick)
    contestants["plain, blocks compiled"] = partial(peer, partial(plain, whole=False), *job)
    if name != "gpt2-124m":
        missing["compiled whole"] = "not measured: compiling 48 layers takes minutes"
    else:
        contestants["plain, compiled whole"] = partial(peer, partial(plain, whole=True), *job)
        if options.nanogpt is None:
            missing["nanoGPT, compiled"] = "not measured: no --nanogpt PATH was given"
        else:
            nano = partial(build_nanogpt, path=str(options.nanogpt), quick=quick)
            contestants["nanoGPT, compiled"] = partial(peer, nano, *job)
        if find_spec("transformers") is None:
            missing["transformers, compiled"] = "transformers is not installed"
        else:
            theirs = partial(build_transformers, quick=quick)
            contestants["transformers, compiled"] = partial(peer, theirs, *job)

    def speed(work: Callable[[], Ticks]) -> float:
        steps = [after - before for before, after in pairwise(work()[WARM_UP - 1 :])]
        return at_once * times * config.context_length / statistics.median(steps)

    limit = DATASHEET / training_flops_per_token(config, config.context_length)
    where = f"training {name}, {times} times {at_once} × {config.context_length} tokens"
    return part(where, contestants, speed, limit, missing, options.rounds, device)


def writing_part(name: str, options: argparse.Namespace, device: str, rate: float) -> Record:
    config = preset(name, **(QUICK if options.quick else {}))
    written = 8 if options.quick else WRITTEN
    contestants: dict[str, Callable[[], float]] = {
        "groundup": partial(write_ours, config, written, device)
    }
    missing = {}
    if name == "gpt2-124m" and find_spec("transformers") is not None:
        contestants["transformers"] = partial(write_transformers, config, written, device)
    else:
        missing["transformers"] = "not installed, or left out at this size"
    with torch.device("meta"):
        weights = sum(p.numel() for p in new_model(config, seed=1).parameters())
    seen = PROMPT + written / 2
    cache = 2 * config.n_layers * config.n_kv_heads * config.head_dim * seen
    limit = rate / (BF16.itemsize * (weights + cache))
    where = f"writing with {name}, one text, {PROMPT} + {written} tokens"
    return part(
        where, contestants, lambda work: written / work(), limit, missing, options.rounds, device
    )


def part(
    where: str,
    contestants: dict[str, Callable[[], Any]],
    speed: Callable[[Callable[[], Any]], float],
    limit: float,
    missing: dict[str, str],
    rounds: int,
    device: str,
) -> Record:
    """Let everyone take turns; whoever fails is a line that says so."""
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    memory: dict[str, float] = {}
    for number in range(rounds):
        for name, work in contestants.items():
            if name in missing:
                continue
            begun = time.perf_counter()
            try:
                speeds[name].append(speed(work))
            except Exception as error:
                traceback.print_exc()
                missing[name] = f"failed: {type(error).__name__}"
            memory[name] = release(device)
            note = f"{where}, round {number + 1}: {name} {speeds[name][-1:]} tokens/s"
            print(note, f"{time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    present = {name: values for name, values in speeds.items() if name not in missing}
    return {
        "name": where,
        "missing": missing,
        "speeds": speeds,
        "summary": {
            name: {
                "tokens_per_second": middle(values),
                "fraction_of_limit": statistics.median(values) / limit,
                "our_speed_ratio": middle(
                    a / b for a, b in zip(speeds["groundup"], values, strict=True)
                ),
                "peak_memory_gib": memory[name],
            }
            for name, values in present.items()
        },
    }


def release(device: str) -> float:
    """Forget the turn that was; return its peak memory (GiB)."""
    torch.compiler.reset()
    gc.collect()
    if device == "cpu":
        return 0.0
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return peak


def main() -> None:
    options = parse()
    quick = options.quick
    if not quick and not torch.cuda.is_available():
        raise SystemExit("this PyTorch sees no CUDA GPU; --quick checks on a CPU that it all runs")
    device = "cpu" if quick else "cuda"
    name = "CPU, only to check that it runs" if quick else torch.cuda.get_device_name()
    with contextlib.redirect_stdout(sys.stderr):
        ceilings = {
            "gemm_flops": matmul_rate(torch.device(device), BF16),
            "bandwidth": bandwidth(device, (1 << 20) if quick else (2 << 30)),
        }
        release(device)
        parts = [training_part(size, options, device) for size in GLOBAL_BATCH]
        rate = ceilings["bandwidth"]
        parts += [writing_part(size, options, device, rate) for size in GLOBAL_BATCH]
    result = {"device": name, "torch": torch.__version__, "ceilings": ceilings, "parts": parts}
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    publish(f"gpu-{slug}", result, options)


if __name__ == "__main__":
    main()
