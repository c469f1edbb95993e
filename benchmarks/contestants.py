"""One contestant's turn of the training benchmark, in a process of its own: whole optimizer steps.

A step is: take a batch, forward, loss, backward, clip the gradient to norm 1, AdamW, and the loss
as a number. The job says what help a peer gets: AdamW in one pass over all weights (`fused`), an
allocator that keeps what is freed, as ours has it (`keeps`), and bf16 by autocast (`precision`).
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.turns import mib
from groundup.device.allocator import keep_freed_memory

LEARNING_RATE, BETA2, DECAY, CLIP = 3e-4, 0.95, 0.1, 1.0
N_TOKENS = 100_000

Job = dict[str, Any]
Outcome = tuple[int, list[float], list[float]]
"""Parameters, the time at the end of each step, the loss of each step."""


def random_text(job: Job) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(job["shape"]["vocab_size"], (N_TOKENS,), generator=generator)


def ours(job: Job) -> Outcome:
    """groundup's own `Trainer.fit`, with nothing left out but validation and samples."""
    from groundup.base.signals import Requests
    from groundup.data import Batches, TokenSplit
    from groundup.train import Listener, Trainer, TrainStep, new_model

    class Clock(Listener):
        def __init__(self) -> None:
            self.ticks: list[float] = []
            self.losses: list[float] = []

        def metrics(self, record: dict[str, Any]) -> None:
            if "train_loss" in record:
                self.ticks.append(time.perf_counter())
                self.losses.append(record["train_loss"])

    choices = our_choices(job, job["precision"])
    settings = choices.config
    split = TokenSplit.from_array(random_text(job).numpy(), N_TOKENS)
    clock = Clock()
    with choices.in_force(), Requests() as requests:
        model = new_model(our_shape(job), seed=1)
        trainer = Trainer(
            step=TrainStep(model, settings.loss),
            batches=Batches(split, job["window"], settings.batch_size, settings.seed),
            choices=choices,
            evaluate=lambda *asked: None,
            sample=lambda *asked: None,
            listeners=[clock],
        )
        trainer.fit(requests)
    return parameters(model), clock.ticks, clock.losses


def our_shape(job: Job) -> Any:
    """nanoGPT's mathematics: biases everywhere, and GELU as it is defined, not its tanh form."""
    from groundup.config import GPTConfig

    parts: dict[str, Any] = {"qkv_bias": True, "tie_embeddings": True, "feed_forward": "gelu"}
    return GPTConfig(**job["shape"], **parts)


def our_choices(job: Job, precision: str) -> Any:
    from groundup.config import TrainConfig
    from groundup.train import choose

    settings = TrainConfig(
        steps=job["steps"],
        batch_size=job["batch_size"],
        optimizer="adamw",
        learning_rate=LEARNING_RATE,
        beta2=BETA2,
        weight_decay=DECAY,
        grad_clip=CLIP,
        device="cpu",
        precision=precision,
        threads=torch.get_num_threads(),
        sample_tokens=0,
    )
    return choose(settings, our_shape(job), own_process=True)


def plain(job: Job) -> Outcome:
    from benchmarks.peers.plain_gpt2 import PlainGPT2, Shape, adamw

    model = PlainGPT2(Shape(**job["shape"]))
    return train(model, adamw(model, LEARNING_RATE, BETA2), model.loss, job)


def nanogpt(job: Job) -> Outcome:
    sys.path.insert(0, job["nanogpt"])
    from model import GPT, GPTConfig

    shape = job["shape"]
    config = GPTConfig(
        vocab_size=shape["vocab_size"],
        block_size=shape["context_length"],
        n_embd=shape["emb_dim"],
        n_head=shape["n_heads"],
        n_layer=shape["n_layers"],
        dropout=0.0,
        bias=True,
    )
    model = GPT(config)
    optimizer = model.configure_optimizers(DECAY, LEARNING_RATE, (0.9, BETA2), "cpu")
    return train(model, optimizer, lambda tokens, targets: model(tokens, targets)[1], job)


def transformers(job: Job) -> Outcome:
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = job["shape"]
    config = GPT2Config(
        vocab_size=shape["vocab_size"],
        n_positions=shape["context_length"],
        n_embd=shape["emb_dim"],
        n_head=shape["n_heads"],
        n_layer=shape["n_layers"],
        bos_token_id=0,
        eos_token_id=0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        use_cache=False,
        attn_implementation="sdpa",  # type: ignore[call-arg]
    )
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(
        model.parameters(), LEARNING_RATE, (0.9, BETA2), weight_decay=DECAY
    )
    return train(model, optimizer, logits_loss(lambda tokens: model(tokens).logits), job)


def llms_from_scratch(job: Job) -> Outcome:
    """Its head tied to its embedding, so that it does no more work than the others."""
    from llms_from_scratch.ch04 import GPTModel

    model = GPTModel({**job["shape"], "drop_rate": 0.0, "qkv_bias": True})
    model.out_head.weight = model.tok_emb.weight
    optimizer = torch.optim.AdamW(
        model.parameters(), LEARNING_RATE, (0.9, BETA2), weight_decay=DECAY
    )
    return train(model, optimizer, logits_loss(model), job)


def litgpt(job: Job) -> Outcome:
    """Its GPT and its chunked loss, as its pretraining has them, with the optimizer of its choice.

    It has no learned positions; its default, rotary ones on a quarter of each head, stand for them.
    """
    from litgpt import GPT, Config
    from litgpt.utils import chunked_cross_entropy

    shape = job["shape"]
    config = Config(
        vocab_size=shape["vocab_size"],
        padded_vocab_size=shape["vocab_size"],
        block_size=shape["context_length"],
        n_embd=shape["emb_dim"],
        n_head=shape["n_heads"],
        n_layer=shape["n_layers"],
        parallel_residual=False,
        attn_bias=True,
    )
    model = GPT(config)
    model.apply(model._init_weights)
    model.lm_head.weight = model.transformer.wte.weight
    optimizer = torch.optim.AdamW(
        model.parameters(), LEARNING_RATE, (0.9, BETA2), weight_decay=DECAY
    )
    return train(model, optimizer, lambda x, y: chunked_cross_entropy(model(x), y), job)


def logits_loss(logits_of: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda tokens, targets: F.cross_entropy(
        logits_of(tokens).flatten(0, 1), targets.flatten()
    )


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    job: Job,
) -> Outcome:
    """Train the way all the peers' own scripts do."""
    text, window = random_text(job), job["window"]
    optimizer = fused(optimizer) if job["fused"] else optimizer
    model.train()
    ticks, losses = [], []
    for _ in range(job["steps"]):
        starts = torch.randint(len(text) - window, (job["batch_size"],)).tolist()
        tokens = torch.stack([text[s : s + window] for s in starts])
        targets = torch.stack([text[s + 1 : s + window + 1] for s in starts])
        with torch.autocast("cpu", torch.bfloat16, enabled=job["precision"] == "bf16"):
            loss = loss_of(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        ticks.append(time.perf_counter())
    return parameters(model), ticks, losses


def fused(optimizer: torch.optim.Optimizer) -> torch.optim.AdamW:
    """Return the same AdamW, each step one pass over all weights and their moments."""
    named = ("params", "lr", "betas", "eps", "weight_decay")
    groups = [{name: group[name] for name in named} for group in optimizer.param_groups]
    return torch.optim.AdamW(groups, fused=True)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    job = json.loads(sys.argv[1])
    contestant: Callable[[Job], Outcome] = globals()[job["contestant"]]
    torch.manual_seed(1)
    with contextlib.redirect_stdout(sys.stderr):
        if job["keeps"]:
            keep_freed_memory()
        n_parameters, ticks, losses = contestant(job)
        timed = ticks[job["warm_up"] - 1 :]
        record = {
            "parameters": n_parameters,
            "step_seconds": [after - before for before, after in pairwise(timed)],
            "losses": losses,
            "peak_memory_mib": mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
        }
        if contestant is ours:
            record["chooses"] = our_choices(job, "auto").config.precision
    print(json.dumps(record))


if __name__ == "__main__":
    main()
