"""`python -m benchmarks.gpu`: training and writing on a CUDA GPU, side by side with the peers.

All take turns in this one process, A B C, A B C; each turn builds its model anew, warms up and is
timed. Compiled code is kept between turns, and compiling is outside of what is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
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
from benchmarks.report import publish, store
from benchmarks.turns import Record, middle, parse
from groundup.base.signals import Requests
from groundup.config import GPTConfig, TrainConfig, preset
from groundup.data import Batches, TokenSplit
from groundup.device.rates import matmul_rate, synchronize
from groundup.generate import SamplingConfig, generate_tokens
from groundup.plan import training_flops_per_token
from groundup.train import Listener, Trainer, TrainStep, choose, new_model

DATASHEET = 989e12
"""bf16 FLOP/s that NVIDIA gives for the H100 SXM and the H200, without sparsity."""
SEQUENCES = {"gpt2-124m": 128, "gpt2-1558m": 32}
"""Sequences of 1,024 tokens in an optimizer step."""
LARGE_CARD = 120e9
"""Bytes of memory from which a card takes all 32 sequences of the larger model at once."""
SECONDS = 270
"""No turn begins later, and no round that would end later."""
QUICK = {"vocab_size": 512, "context_length": 64, "emb_dim": 64, "n_heads": 2, "n_layers": 2}
PADDED = 50304
"""The vocabulary that nanoGPT rounds up to, and here all peers: theirs compute faster so."""
WARM_UP, PROMPT, WRITTEN = 3, 32, 256
BF16 = torch.bfloat16

Ticks = list[float]
"""The time (s) at the end of each step."""
Build = Callable[[GPTConfig], tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]]
"""Makes a peer's model, and what gives its mean loss."""


class Clock(Listener):
    """Notes when `Trainer.fit` tells of a step."""

    def __init__(self) -> None:
        self.ticks: Ticks = []

    def metrics(self, record: dict[str, Any]) -> None:
        if "train_loss" in record:
            self.ticks.append(time.perf_counter())


def ours(config: GPTConfig, sequences: int, at_once: int, steps: int, device: str) -> Ticks:
    """groundup's own `Trainer.fit`, with nothing left out but validation and samples."""
    settings = TrainConfig(
        steps=steps,
        batch_size=at_once,
        accumulation=sequences // at_once,
        optimizer="adamw",
        learning_rate=3e-4,
        beta2=0.95,
        device=device,
        precision="bf16",
        compile="off" if device == "cpu" else "on",
        sample_tokens=0,
    )
    choices = choose(settings, config)
    with torch.device(device):
        model = new_model(config, seed=1)
    text = torch.randint(config.vocab_size, (400_000,)).numpy()
    clock = Clock()
    trainer = Trainer(
        step=TrainStep(
            model,
            settings.loss,
            loss_chunk=choices.config.loss_chunk,
            copy_dtype=choices.copy_dtype,
        ),
        batches=Batches(TokenSplit.from_array(text, len(text)), config.context_length, at_once, 1),
        choices=choices,
        evaluate=lambda *asked: None,
        sample=lambda *asked: None,
        listeners=[clock],
    )
    with Requests() as requests:
        trainer.fit(requests)
    return clock.ticks


def peer(
    build: Build, config: GPTConfig, sequences: int, at_once: int, steps: int, device: str
) -> Ticks:
    """Train as nanoGPT does: autocast over fp32 weights, clipping, fused AdamW."""
    times = sequences // at_once
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

    shape: dict[str, Any] = {
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_embd": config.emb_dim,
    }
    drop: dict[str, Any] = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    ends: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": None, "pad_token_id": 0}
    places: dict[str, Any] = {"n_positions": config.context_length, "vocab_size": vocab_size}
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


class Training:
    """A turn of training with as many sequences at once as fit, `most` or fewer."""

    def __init__(self, train: Callable[[int], Ticks], most: int) -> None:
        self.train, self.at_once = train, most

    def __call__(self) -> Ticks:
        while True:
            try:
                return self.train(self.at_once)
            except torch.OutOfMemoryError:
                if self.at_once == 1:
                    raise
            self.at_once //= 2  # out of the handler, which holds on to what filled the memory
            release()


class Part:
    """Contestants in one task. Whoever fails is a line that says so, beside the others' figures."""

    def __init__(self, where: str, speed: Callable[[Any], float], limit: float) -> None:
        self.where, self.speed, self.limit = where, speed, limit
        self.contestants: dict[str, Callable[[], Any]] = {}
        self.missing: dict[str, str] = {}
        self.speeds: dict[str, list[float]] = {}
        self.memory: dict[str, float] = {}
        self.seconds = 0.0

    def round(self, end: float, keep: Callable[[], object]) -> None:
        """Let everyone have a turn that begins before `end`, and keep its figures at once."""
        begun = time.perf_counter()
        for name, work in self.contestants.items():
            if name not in self.missing:
                if time.perf_counter() > end:
                    self.missing[name] = "not measured: the time was up"
                else:
                    self.turn(name, work)
                keep()
        self.seconds = time.perf_counter() - begun

    def turn(self, name: str, work: Callable[[], Any]) -> None:
        begun = time.perf_counter()
        try:
            self.speeds.setdefault(name, []).append(self.speed(work()))
        except Exception as error:
            traceback.print_exc()
            self.missing[name] = f"failed: {type(error).__name__}"
        self.memory[name] = release()
        note = f"{self.where}: {name} {self.speeds[name][-1:]} tokens/s"
        print(note, f"{time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)

    def record(self) -> Record:
        """Return all figures, and a summary of those who did not fail."""
        ours = [] if "groundup" in self.missing else self.speeds.get("groundup", [])
        summary: Record = {}
        for name, speeds in self.speeds.items():
            if name in self.missing:
                continue
            summary[name] = {
                "tokens_per_second": middle(speeds),
                "fraction_of_limit": statistics.median(speeds) / self.limit,
                "peak_memory_gib": self.memory[name],
            }
            work = self.contestants[name]
            if isinstance(work, Training):
                summary[name]["at_once"] = work.at_once
            if ours and name != "groundup":
                ratios = [a / b for a, b in zip(ours, speeds, strict=False)]
                summary[name]["our_speed_ratio"] = middle(ratios)
        return {
            "name": self.where,
            "missing": self.missing,
            "speeds": self.speeds,
            "summary": summary,
        }


def training_part(name: str, options: argparse.Namespace, device: str) -> Part:
    quick = options.quick
    config = preset(name, **(QUICK if quick else {}))
    sequences = 4 if quick else SEQUENCES[name]
    ours_at_once, theirs_at_once = (4, 2) if quick else at_once(name)
    steps = WARM_UP + options.steps

    def speed(ticks: Ticks) -> float:
        seconds = [after - before for before, after in pairwise(ticks[WARM_UP - 1 :])]
        return sequences * config.context_length / statistics.median(seconds)

    limit = DATASHEET / training_flops_per_token(config, config.context_length)
    tokens = sequences * config.context_length
    part = Part(f"training {name}, {tokens:,} tokens a step", speed, limit)

    def enter(who: str, build: Build) -> None:
        train = partial(peer, build, config, sequences, steps=steps, device=device)
        part.contestants[who] = Training(train, theirs_at_once)

    part.contestants["groundup"] = Training(
        partial(ours, config, sequences, steps=steps, device=device), ours_at_once
    )
    plain = partial(build_plain, quick=quick)
    if name != "gpt2-124m":
        enter("plain, blocks compiled", partial(plain, whole=False))
        part.missing["compiled whole"] = "not measured: compiling 48 layers at once takes too long"
        return part
    enter("plain, compiled whole", partial(plain, whole=True))
    if options.nanogpt is None:
        part.missing["nanoGPT, compiled"] = "not measured: no --nanogpt PATH was given"
    else:
        path = str(options.nanogpt)
        enter("nanoGPT, compiled", partial(build_nanogpt, path=path, quick=quick))
    if find_spec("transformers") is None:
        part.missing["transformers, compiled"] = "transformers is not installed"
    else:
        enter("transformers, compiled", partial(build_transformers, quick=quick))
    return part


def at_once(name: str) -> tuple[int, int]:
    """Return how many sequences groundup and the peers begin with on this card."""
    if name == "gpt2-124m":
        return 128, 64
    large = torch.cuda.get_device_properties(0).total_memory >= LARGE_CARD
    return (32, 16) if large else (16, 8)


def writing_part(name: str, options: argparse.Namespace, device: str, rate: float) -> Part:
    config = preset(name, **(QUICK if options.quick else {}))
    written = 8 if options.quick else WRITTEN
    with torch.device("meta"):
        weights = sum(p.numel() for p in new_model(config, seed=1).parameters())
    seen = PROMPT + written / 2
    cache = 2 * config.n_layers * config.n_kv_heads * config.head_dim * seen
    limit = rate / (BF16.itemsize * (weights + cache))
    where = f"writing with {name}, one text, {PROMPT} + {written} tokens"
    part = Part(where, lambda seconds: written / seconds, limit)
    part.contestants["groundup"] = partial(write_ours, config, written, device)
    if name == "gpt2-124m" and find_spec("transformers") is not None:
        part.contestants["transformers"] = partial(write_transformers, config, written, device)
    else:
        part.missing["transformers"] = "not installed, or left out at this size"
    return part


def release() -> float:
    """Forget the turn that was; return its peak memory (GiB)."""
    torch.compiler.reset()
    gc.collect()
    if not torch.cuda.is_available():
        return 0.0
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return peak


def main() -> None:
    options, begun = parse(), time.perf_counter()
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
        release()
        parts = [training_part(size, options, device) for size in SEQUENCES]
        parts += [writing_part(size, options, device, ceilings["bandwidth"]) for size in SEQUENCES]
        result: Record = {"device": name, "torch": torch.__version__, "ceilings": ceilings}

        def keep() -> None:
            result["parts"] = [part.record() for part in parts]
            store("gpu", result, options)

        for part in parts * options.rounds:
            # The next round of a part takes no longer than its last, which compiled.
            if not part.seconds or time.perf_counter() - begun + part.seconds < SECONDS:
                part.round(begun + SECONDS, keep)
    publish("gpu", result, options)


if __name__ == "__main__":
    main()
