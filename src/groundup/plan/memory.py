"""Memory as a plain sum: what is held at the moment when most is held.

A training step has four such moments. At the end of the forward pass every activation is kept
and the loss is computed; when the backward pass enters the last block they are still all there;
at its end they are gone, but every gradient has come, and so it is while the optimizer works. The
largest of the four sums is the peak.
Each sum was compared with the peak of real runs on the CPU: what is held agrees within 1% in
fp32 and 5% in bf16. The C library's heap adds holes that no later block fits into. On CUDA the
peaks of four bf16 runs of GPT-2 124M and 1558M on an H200 were within 5%; MPS is taken to follow
the same arithmetic and was not measured.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from groundup.config import GPTConfig, Parameter, TrainConfig, adapter_shapes
from groundup.plan.activations import (
    activations,
    feed_forward_kept,
    flowing_bytes,
    recomputed,
)
from groundup.plan.attention import (
    FP32,
    attention_work,
    is_copied,
    product_bytes,
)
from groundup.plan.count import count_parameters, matrix_weights

PROCESS = 310 << 20
"""Bytes of a process that has imported everything and trained a tiny model (measured: 298 to 337
MiB for the whole command, 243 without reading a text, of which `import torch` is 219; torch 2.13,
CPU build, Linux x86-64)."""
TOKENIZER = 1024
"""Bytes of a token in a tokenizer at work (measured: 50 MiB for the 49,152 of SmolLM2)."""
LOSS_CHUNK = 1 << 24
"""Logits that the fused loss computes at once (`groundup.optim.fused_loss.CHUNK_VALUES`)."""
CUDA_LOSS_CHUNK = 1 << 29
"""The same on a CUDA GPU, where products of fewer rows leave multiprocessors idle."""
MOMENTS = 2
"""Running averages that AdamW keeps for each parameter (Kingma and Ba, 2015); Muon keeps one."""
MUON_LOT = 1 << 24
"""Values that Muon works on at once, at most (`groundup.optim.muon.VALUES_AT_ONCE`)."""
CHECKPOINTING = 90 << 20
"""Bytes of the compiler that `torch.utils.checkpoint` loads at its first call (81 to 90 MiB)."""
HEAP_SHARE = 0.3
"""Of activations and logits: what glibc's heap takes beyond what is held in it, where it keeps what
is freed. A block is aligned by cutting it out of a slightly larger one, so that the hole it leaves
is too small for the next of its size: each that goes between two that stay is lost (measured: 0.22
to 0.39, scores under a cap in a small model 0.51; docs/plan.md has the cases)."""
UNEQUAL_HEAP_SHARE = 2.5
"""The same where experts get other numbers of tokens in each step: few blocks are alike, and
between them lie the programs that oneDNN keeps for each number; every few steps they go back
(`groundup.train.learner`; measured: 2.2 behind 12 steps, 2.4 behind 22, 2.8 behind 60)."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes held at the moment of most memory, as a sum of named terms.

    `unknown` are terms that nobody can foresee; the sum is then the least that is needed.
    """

    moment: str
    terms: dict[str, int]
    unknown: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """The sum."""
        return sum(self.terms.values())


def training_memory(
    config: GPTConfig, train: TrainConfig, packed: bool = False, counted: float = 1.0
) -> Memory:
    """Return the peak of training: on the CPU all of the process, on a GPU what it allocates.

    "auto" counts as the CPU and fp32. `torch.compile` can only lower the activations. Rows may be
    of several sequences, `packed` side by side; `counted` is the share of places whose targets
    meet the output head.
    """
    total, learning = count_parameters(config).total, learning_parameters(config, train)
    own = total + learning * train.adapts
    whole = FP32 * learning
    weights = FP32 * own
    copy = product_bytes(train) * own * is_copied(train)
    kept_by_optimizer = optimizer_memory(config, train)
    head = 0 if train.adapts else FP32 * config.vocab_size * config.emb_dim
    held = whole if train.accumulation > 1 else 0
    kept = activations(config, train, packed)
    n_tokens = train.batch_size * config.context_length
    hidden = flowing_bytes(train) * n_tokens * config.emb_dim
    # Of the embedding's gradient that is added to an earlier one, both are there at once.
    twice = head if held else 0
    fused = train.loss == "fused"
    sums = {
        "end of the forward pass": (
            held + head * fused,
            kept,
            loss_memory(config, train, counted),
            0,
        ),
        "start of the backward pass": (
            held + head,
            kept + recomputed(config, train, packed) + block_work(config, train),
            hidden,
            0,
        ),
        "end of the backward pass": (whole + twice + copy * learning // own, 0, 0, 0),
        "optimizer's work": (whole, 0, 0, muon_work(config, train)),
    }
    moment, (gradients, kept, logits, work) = max(sums.items(), key=lambda item: sum(item[1]))
    terms = {
        "weights": weights + copy,
        "gradients": gradients,
        "optimizer": kept_by_optimizer + work,
        "activations": kept,
        "logits": logits,
        "heap": heap(config, train, kept + logits),
        "process": PROCESS if train.device in ("auto", "cpu") else 0,
    }
    if terms["process"] and train.checkpoint_activations == "on":
        terms["process"] += CHECKPOINTING
    if train.save == "background" and terms["process"]:
        terms["saving"] = whole + kept_by_optimizer  # a copy, written while training goes on
    return Memory(moment=moment, terms=terms)


def heap(config: GPTConfig, train: TrainConfig, passing: int) -> int:
    """Return the bytes of the holes that `passing` ones leave in the C library's heap.

    There are none where large blocks are given back at once, as they are where activations are
    checkpointed.
    """
    gives_back = train.allocator == "release" or (
        train.allocator == "auto" and train.checkpoint_activations == "on"
    )
    if gives_back or train.device not in ("auto", "cpu"):
        return 0
    return int((UNEQUAL_HEAP_SHARE if config.n_experts else HEAP_SHARE) * passing)


def least_training_memory(train: TrainConfig, parameters: Sequence[Parameter]) -> Memory:
    """Return what training a model of these `parameters` holds when no activations are kept.

    Those of a part that groundup does not have depend on what it computes: nobody can foresee them.
    """
    total = sum(parameter.size for parameter in parameters)
    inner = [p.shape for p in parameters if p.name.startswith("blocks.") and len(p.shape) >= 2]
    one_average = sum(map(math.prod, inner)) if train.optimizer == "muon" else 0
    work = _muon_work(Counter(tuple(sorted(shape)) for shape in inner if len(shape) == 2), train)
    kept = FP32 * (MOMENTS * total - one_average)
    terms = {
        "weights": FP32 * total + product_bytes(train) * total * is_copied(train),
        "gradients": FP32 * total,
        "optimizer": kept + work,
        "process": PROCESS if train.device in ("auto", "cpu") else 0,
    }
    if train.save == "background" and terms["process"]:
        terms["saving"] = FP32 * total + kept
    return Memory(moment="optimizer's work", terms=terms, unknown=("activations",))


def learning_parameters(config: GPTConfig, train: TrainConfig) -> int:
    """Return how many parameters learn: the model's, or those of its adapters alone."""
    if not train.adapts:
        return count_parameters(config).total
    return sum(map(math.prod, adapter_shapes(config, train.method, train.lora_rank).values()))


def optimizer_memory(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes of the running averages that the optimizer keeps from step to step."""
    total = learning_parameters(config, train)
    if train.adapts:
        return FP32 * MOMENTS * total
    inner = config.n_layers * matrix_weights(config, config.n_experts)
    return FP32 * (MOMENTS * total - (inner if train.optimizer == "muon" else 0))


def muon_work(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes that Muon needs while it makes matrices orthogonal.

    Of a lot of M matrices (A, B), A <= B, those of updates are there in fp32, then twice; then the
    matrices before and after a step of the iteration, and two of (A, A).
    """
    width, networks = config.emb_dim, max(1, config.n_experts) * (3 if config.is_gated else 2)
    alike = Counter[tuple[int, ...]]()
    alike[width, config.n_heads * config.head_dim] += 2 * config.n_layers
    alike[width, config.n_kv_heads * config.head_dim] += 2 * config.n_layers
    alike[width, config.ffn_dim] += networks * config.n_layers
    return _muon_work(alike, train)


def _muon_work(alike: Mapping[tuple[int, ...], int], train: TrainConfig) -> int:
    if train.optimizer != "muon" or train.adapts:
        return 0
    most = 0
    for (width, inner), count in alike.items():
        values = width * inner * min(count, max(1, MUON_LOT // (width * inner)))
        grams = values * min(width, inner) // max(width, inner)
        most = max(most, 2 * FP32 * values, product_bytes(train) * 2 * (values + grams))
    return most


def loss_memory(config: GPTConfig, train: TrainConfig, counted: float = 1.0) -> int:
    """Return the bytes that the loss takes at its peak, the head's gradient apart.

    Of n tokens, or of the share of them that is `counted`.

    Plain: three arrays (n, V): the log-softmax, its gradient and the logits'. Fused: the hidden
    states and their gradient (n, D), and for a chunk of rows the logits, which become their own
    gradient; in bf16 also 16-bit copies of these and the head, and of the head's gradient. A cap
    on the logits keeps its slope: plain one array more, fused three.
    """
    n_tokens = max(1, math.ceil(counted * train.batch_size * config.context_length))
    vocabulary, width, product = config.vocab_size, config.emb_dim, product_bytes(train)
    capped = config.logit_softcap > 0
    if train.loss == "plain":
        return (3 + capped) * FP32 * n_tokens * vocabulary
    usual = CUDA_LOSS_CHUNK if train.device == "cuda" else LOSS_CHUNK
    most = max(1, (train.loss_chunk or usual) // vocabulary)
    rows = -(-n_tokens // -(-n_tokens // most))  # of equal chunks
    copies = 0 if product == FP32 else product
    chunk = (1 + 3 * capped) * FP32 + copies
    hidden = 2 * flowing_bytes(train) * n_tokens * width
    return rows * vocabulary * chunk + hidden + 2 * copies * vocabulary * width


def block_work(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes that the backward pass through one block adds to what is kept.

    The gradients of the block's output (n, D) and of what GELU gave (n, F); those of gate and up
    where there is a gate. Experts do so one by one, each for its k / E of the tokens, with
    gradients of all their inputs so far and of one expert's (n, 2 D). Attention takes more where
    scores are written out; by then the feed-forward network has let go of its own.
    """
    n_tokens = train.batch_size * config.context_length
    width, number = flowing_bytes(train) * config.emb_dim, product_bytes(train)
    inner = (2 if config.is_gated else 1) * number * config.ffn_dim
    if config.n_experts:
        inner = inner * config.n_active_experts // config.n_experts + 2 * width
    attention = attention_work(config, train) - n_tokens * feed_forward_kept(config, train)
    return n_tokens * width + max(n_tokens * inner, attention)
