"""What writing takes: weights, the keys and values of the tokens read so far, and one block's work.

A model computes in fp32, whatever its file holds. One in fp32 is mapped, and nothing is copied; one
in 16 bits is widened, and until it is, both are there. Of a quantised one an operator has the
matrices in a layout of its own, and the file stays mapped for the rows of the embedding; all else
is in fp32, the cache too.
"""

from __future__ import annotations

from groundup.config import GPTConfig, TrainConfig
from groundup.plan.attention import (
    FP32,
    by_blocks,
    is_copied,
    product_bytes,
    scores_at_once,
)
from groundup.plan.count import BYTES, count_parameters, windowed_layers
from groundup.plan.memory import TOKENIZER, Memory

WRITER = 263 << 20
"""Bytes of a process that only generates, beside its model and its tokenizer (measured: 285 MiB for
nano's 12 and 4)."""
RING_SLACK = 64
"""Tokens beyond its window that a layer's ring holds (`groundup.generate.ring.SLACK`)."""
QUANTIZED = {"int8": 1.0, "int4": 0.625}
"""Bytes of a quantised weight: with 4 bits go 16 of scale and 16 of zero for each 32 weights (in 8
bits a row's scale is not counted)."""
STORED_FORMATS = ("fp32", "bf16", *QUANTIZED)
"""Formats of weights that a run may hold; those of fp16 take what bf16 takes."""
HEAP_SHARE = {"int8": 0.8, "int4": 0.45}
"""Of cache and activations: what glibc's heap takes beyond what is held in it, as a layer's keys
and values come to lie between what passes (gpt2-124m reading 1 and 4 texts of 1,000 tokens: int8
1.2 and 0.66, int4 0.49 and 0.47)."""
PLAIN_HEAP_SHARE = 0.1
"""The same of products in fp32, which hold fewer copies of vectors (0 and 0.11)."""
AT_ONCE = 8192
"""Tokens that are read at once, but for a longer text (`groundup.generate.windows`)."""
PLAIN_PARTS = ("position embedding", "router", "normalisation")
QUANTIZED_PARTS = ("attention", "feed-forward")
"""Parts of a block whose matrices are quantised, beside the output head and the embedding
(`groundup.quantized.swap`)."""


def generation_memory(
    config: GPTConfig, batch_size: int = 1, number_format: str = "fp32"
) -> Memory:
    """Return the peak of generating on a CPU with a full context, by weights in a format.

    That is fp32, bf16 or fp16 as stored, or int8 or int4. The logits are of one token only.
    """
    n_texts = min(batch_size, max(1, AT_ONCE // config.context_length))
    weights, mapped = _weights(config, number_format)
    always = {"process": WRITER, "tokenizer": TOKENIZER * config.vocab_size}
    loading = {"weights": weights, "file": mapped, **always}
    cache = cache_memory(config, batch_size)
    passing = reading(config, n_texts * config.context_length, FP32)
    share = HEAP_SHARE.get(number_format, PLAIN_HEAP_SHARE)
    whole = {
        "weights": weights,
        "file": mapped if number_format in QUANTIZED else 0,
        "cache": cache,
        "activations": passing,
        "logits": batch_size * config.vocab_size * FP32,
        "heap": int(share * (cache + passing)),
        **always,
    }
    if sum(loading.values()) > sum(whole.values()):
        return Memory(moment="loading of the weights", terms=loading)
    return Memory(moment="reading of a full context", terms=whole)


def _weights(config: GPTConfig, number_format: str) -> tuple[int, int]:
    """Return the bytes of the weights that compute, and of a file that is mapped beside them."""
    count = count_parameters(config)
    if number_format not in QUANTIZED:
        stored = count.storage(number_format)
        return count.storage(), 0 if BYTES[number_format] == FP32 else stored
    head = config.vocab_size * config.emb_dim  # of an embedding only rows that are read are there
    matrices = head + sum(count.parts.get(part, 0) for part in QUANTIZED_PARTS)
    others = sum(count.parts.get(part, 0) for part in PLAIN_PARTS)
    packed = int(QUANTIZED[number_format] * matrices)
    return packed + FP32 * others, packed


def cache_memory(config: GPTConfig, batch_size: int, train: TrainConfig | None = None) -> int:
    """Return the bytes of the cache of so many texts as long as the context.

    It keeps 2 K H numbers for each token in every layer, where that has a window of the tokens in
    it and of `RING_SLACK` more. They are in fp32; in a training in the format of its products, but
    for keys that an rmsnorm gives, in fp32 under autocast.
    """
    length = config.context_length
    ring = min(length, (config.window or length) + RING_SLACK)
    kept = config.n_layers * length - windowed_layers(config) * (length - ring)
    value = product_bytes(train) if train else FP32
    normed = config.qk_norm != "none" and config.norm != "layernorm"
    key = FP32 if train and normed and not is_copied(train) else value
    return batch_size * kept * config.n_kv_heads * config.head_dim * (key + value)


def reading(config: GPTConfig, n_tokens: int, size: int) -> int:
    """Return the most bytes that reading `n_tokens` at once takes on the way through one block.

    A token's vector and the normed one, 2 D, and either around GELU 2 F, around a gate 3 F (of an
    expert, to which all tokens may go; 2 D more for what it reads and for the sum); or queries,
    keys, values and output of attention. By blocks, copies of these in one piece, and a block's
    scores twice, bounded ones once more.
    """
    length, width = config.context_length, config.emb_dim
    feed = (3 if config.is_gated else 2) * config.ffn_dim + (2 * width if config.n_experts else 0)
    heads, keys = config.n_heads * config.head_dim, 2 * config.n_kv_heads * config.head_dim
    attend, scores = 2 * heads + keys, 0
    if by_blocks(config, TrainConfig(precision="fp32")):
        attend += 2 * heads + keys
        times = 3 if config.attention_softcap else 2
        scores = times * scores_at_once(config, -(-n_tokens // length), "cpu")
    most = max(n_tokens * feed, n_tokens * attend + scores)
    return (n_tokens * 2 * width + most) * size
