"""Memory as a plain sum: what is held at the moment when most is held.

A training step has three such moments. At the end of the forward pass every activation is kept
and the loss is computed; when the backward pass enters the last block they are still all there;
at its end they are gone, but every gradient has come. The largest of the three sums is the peak.
Each sum was compared with the peak of real runs on the CPU: what is held agrees within 1% in
fp32 and 5% in bf16. With the fused loss the resident memory that Linux reports is 3 to 14% more
(plain: up to 25%), because the C library keeps freed blocks for later use. CUDA and MPS are taken
to follow the same arithmetic and were not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from groundup.config import GPTConfig, TrainConfig
from groundup.plan.count import BYTES, count_parameters

PROCESS = 310 << 20
"""Bytes of a process that has imported everything and trained a tiny model (measured: 307 to 318
MiB, of which `import torch` is 219; torch 2.13, CPU build, Linux x86-64)."""
LOSS_CHUNK = 1 << 24
"""Logits that the fused loss computes at once (`groundup.train.loss.CHUNK_VALUES`)."""
FP32 = 4
MOMENTS = 2
"""Running averages that AdamW keeps for each parameter (Kingma and Ba, 2015)."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes held at the moment of most memory, as a sum of named terms."""

    moment: str
    terms: dict[str, int]

    @property
    def total(self) -> int:
        """The sum."""
        return sum(self.terms.values())


def training_memory(config: GPTConfig, train: TrainConfig) -> Memory:
    """Return the peak of training: on the CPU all of the process, on a GPU what it allocates.

    "auto" counts as the CPU and fp32. `torch.compile` can only lower the activations.
    """
    weights = FP32 * count_parameters(config).total
    fixed = {"weights": weights, "optimizer": MOMENTS * weights}
    head = FP32 * config.vocab_size * config.emb_dim
    held = weights if train.accumulation > 1 else 0
    kept = activations(config, train)
    n_tokens = train.batch_size * config.context_length
    hidden = FP32 * n_tokens * config.emb_dim
    # A tied matrix gets two gradients, and both are there before they are added.
    twice = head * (2 if held else 1) if config.tie_embeddings else 0
    fused = train.loss == "fused"
    sums = {
        "end of the forward pass": (held + head * fused, kept, loss_memory(config, train)),
        "start of the backward pass": (held + head, kept + block_work(config, train), hidden),
        "end of the backward pass": (weights + twice, 0, 0),
    }
    moment, (gradients, kept, logits) = max(sums.items(), key=lambda item: sum(item[1]))
    terms = {
        "weights": fixed["weights"],
        "gradients": gradients,
        "optimizer": fixed["optimizer"],
        "activations": kept,
        "logits": logits,
        "process": PROCESS if train.device in ("auto", "cpu") else 0,
    }
    return Memory(moment=moment, terms=terms)


def activations(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes that autograd keeps from the forward pass for the backward pass.

    With n tokens in a batch, D, F, N, T as in `groundup.model.attention` and m bytes in a matrix
    product's number (fp32: 4, bf16: 2), each layer keeps

        4 (2 D + 4) n       the inputs of two norms, with their mean and 1 / deviation
        m (2 D) n           what the norms give to query, key and value, and to up
        m (3 D) n + 4 N n   query, key and value, and the log of each row's sum of weights
        m D n               what attention gives to out (never the T x S weights)
        m (2 F) n           the input of GELU, and its output, given to down

    the residual additions nothing. The final norm keeps 4 (D + 2) n, the token embedding 8 n. In
    bf16 query, key and value each keep a 16-bit copy of their common input (2 (2 D) n more), and
    16-bit copies of all matrices are kept as well. Dropout keeps a mask for each value, and on
    the CPU the attention weights, as no fused kernel there has dropout: `_dropout`.
    """
    width, inner, product = config.emb_dim, config.ffn_dim, _product_bytes(train)
    n_tokens = train.batch_size * config.context_length
    layer = FP32 * (2 * width + 4) + product * (6 * width + 2 * inner) + FP32 * config.n_heads
    ends = FP32 * (width + 2) + 8
    dropout = _dropout(config, train) if config.drop_rate else 0
    copies = 0
    if product < FP32:
        layer += product * 2 * width
        copies = product * config.n_layers * (4 * width * width + 2 * width * inner)
    return n_tokens * (config.n_layers * layer + ends + dropout) + copies


def _dropout(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes for each token that dropout adds to the activations.

    On CUDA a mask of one byte a value: after the embeddings, out and down. Elsewhere the mask is
    of numbers, and attention keeps its weights, their mask and the masked weights (fp32, T each
    for every head), and query, key and value in fp32 in place of the rows' sums.
    """
    width, layers, product = config.emb_dim, config.n_layers, _product_bytes(train)
    if train.device == "cuda":
        return width * (1 + 2 * layers)
    scores = 3 * FP32 * config.n_heads * config.context_length - FP32 * config.n_heads
    wider = 3 * width * (FP32 - product)
    return FP32 * width + layers * (2 * product * width + scores + wider)


def loss_memory(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes that the loss takes at its peak, the head's gradient apart.

    Plain: three arrays (n, V): the log-softmax, its gradient and the logits'. Fused: the hidden
    states and their gradient (n, D), and for a chunk of rows the logits and their exponentials;
    in bf16 also 16-bit copies of these and the head.
    """
    n_tokens = train.batch_size * config.context_length
    vocabulary, width, product = config.vocab_size, config.emb_dim, _product_bytes(train)
    if train.loss == "plain":
        return 3 * FP32 * n_tokens * vocabulary
    rows = max(1, LOSS_CHUNK // vocabulary)
    copies = 0 if product == FP32 else product
    chunk = 2 * FP32 + copies
    hidden = 2 * FP32 * n_tokens * width
    return min(rows, n_tokens) * vocabulary * chunk + hidden + copies * vocabulary * width


def block_work(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes that the backward pass through one block adds to what is kept.

    The gradients of the block's output (n, D) and of what GELU gave (n, F).
    """
    n_tokens = train.batch_size * config.context_length
    return n_tokens * (FP32 * config.emb_dim + _product_bytes(train) * config.ffn_dim)


def _product_bytes(train: TrainConfig) -> int:
    return FP32 if train.precision == "auto" else BYTES[train.precision]


def generation_memory(
    config: GPTConfig, batch_size: int = 1, number_format: str = "fp32"
) -> Memory:
    """Return the peak of generating with a full context: weights, cache, one block's work.

    The cache keeps 2 L T D numbers for each text: every layer's keys and values. Reading a full
    context at once takes (2 D + 2 F) numbers a token, and the logits are of one token only.
    """
    size, width = BYTES[number_format], config.emb_dim
    n_tokens = batch_size * config.context_length
    terms = {
        "weights": count_parameters(config).storage(number_format),
        "cache": 2 * config.n_layers * n_tokens * width * size,
        "activations": n_tokens * (2 * width + 2 * config.ffn_dim) * size,
        "logits": batch_size * config.vocab_size * FP32,
        "process": PROCESS,
    }
    return Memory(moment="reading of a full context", terms=terms)
