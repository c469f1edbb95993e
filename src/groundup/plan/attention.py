"""What attention keeps for the backward pass, and what it takes while it is worked off.

Letters as in `groundup.plan.activations`. One kernel keeps query, key and value, its output, and
the log of each row's sum of weights. Attention by blocks of queries (`groundup.attend.blockwise`)
keeps query, key and value alone, and computes the scores of a block again.
"""

from __future__ import annotations

from groundup.config import GPTConfig, TrainConfig
from groundup.plan.count import BYTES, windowed_layers

FP32 = 4
BLOCK = 128
"""Queries of a block at most (`groundup.attend.blockwise.BLOCK`)."""
SCORES_AT_ONCE = {"cpu": 1 << 22, "cuda": 1 << 27}
"""Scores that are in memory at once (`groundup.attend.blockwise.SCORES_AT_ONCE`)."""


def product_bytes(train: TrainConfig) -> int:
    """Return the bytes of a number in a matrix product."""
    return FP32 if train.precision == "auto" else BYTES[train.precision]


def is_copied(train: TrainConfig) -> bool:
    """Return whether a 16-bit copy of the model computes the steps, rather than autocast."""
    return train.device == "cuda" and product_bytes(train) < FP32


def by_blocks(config: GPTConfig, train: TrainConfig) -> int:
    """Return how many layers work their attention off by blocks of queries."""
    if _all_by_blocks(config, train):
        return config.n_layers
    is_windowed = config.window is not None and config.window < config.context_length
    return windowed_layers(config) if is_windowed else 0


def _all_by_blocks(config: GPTConfig, train: TrainConfig) -> bool:
    """Return whether every layer does, whatever its mask: bounded scores, or 16 bits on a CPU."""
    narrow = product_bytes(train) < FP32 and train.device != "cuda"
    return config.attention_softcap > 0 or narrow


def writes_scores(config: GPTConfig, train: TrainConfig) -> bool:
    """Return whether a layer's T x S scores are kept: no kernel of a CPU drops some of them."""
    in_kernel = by_blocks(config, train) < config.n_layers
    return config.attention_dropout > 0 and train.device != "cuda" and in_kernel


def attention_kept(config: GPTConfig, train: TrainConfig, packed: bool = False) -> int:
    """Return the bytes that the attention of all layers keeps of a batch, its input apart.

    Where rows are `packed`, permissions are kept: once for all blocks, and as numbers in each layer
    that a kernel computes.
    """
    n_tokens = train.batch_size * config.context_length
    number, heads, head = product_bytes(train), config.n_heads, config.head_dim
    keys = 2 * config.n_kv_heads
    n_blocks = by_blocks(config, train)
    if packed and not _all_by_blocks(config, train):
        n_blocks = 0  # what a window hides is in the permissions
    kept = n_blocks * number * head * (2 * heads + keys)
    kept += (config.n_layers - n_blocks) * _in_kernel(config, train)
    if packed and n_blocks:
        kinds = 1 + (0 < windowed_layers(config) < config.n_layers)
        kept += kinds * config.context_length
    elif packed and not writes_scores(config, train):
        kept += config.n_layers * number * config.context_length
    return n_tokens * kept


def _in_kernel(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes a token of a layer that a kernel computes.

    Rotated queries have another layout, which costs the output a copy. With dropout it is torch's
    own plain attention on a CPU: in fp32, T weights for each head, the mask, and what it leaves.
    """
    number, heads, head = product_bytes(train), config.n_heads, config.head_dim
    if writes_scores(config, train):
        return (3 * FP32 + number) * heads * head + 3 * FP32 * heads * config.context_length
    layouts = 3 if config.position == "rope" else 2
    return number * (layouts * heads + 2 * config.n_kv_heads) * head + FP32 * heads


def attention_work(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes that the backward pass through one layer's attention takes.

    The gradients of queries, keys and values. Of a block, those of keys and values are summed in
    fp32, and its scores are there in fp32, as weights, and as two gradients; bounded ones also as
    their slope, dropped ones also as what is dropped and what it leaves.
    """
    number, head = product_bytes(train), config.head_dim
    n_tokens = train.batch_size * config.context_length
    if writes_scores(config, train):
        return 2 * FP32 * n_tokens * config.n_heads * config.context_length
    if not by_blocks(config, train):
        return number * head * 2 * (config.n_heads + config.n_kv_heads) * n_tokens
    work = head * n_tokens * (2 * number * config.n_heads + 2 * FP32 * config.n_kv_heads)
    a_score = FP32 + 3 * number
    a_score += FP32 + number if config.attention_softcap else 0
    a_score += 2 * number if config.attention_dropout else 0
    return work + a_score * scores_at_once(config, train.batch_size, train.device)


def scores_at_once(config: GPTConfig, n_rows: int, device: str) -> int:
    """Return how many scores are in memory at once where `n_rows` texts are read."""
    all_windowed = windowed_layers(config) == config.n_layers
    reach = _reach(config) if all_windowed else config.context_length
    most, a_query = SCORES_AT_ONCE.get(device, SCORES_AT_ONCE["cpu"]), config.n_heads * reach
    a_text = a_query * min(BLOCK, config.context_length, max(1, most // a_query))
    return a_text * min(n_rows, max(1, most // a_text))


def _reach(config: GPTConfig) -> int:
    """Return how many keys a block of a windowed layer sees at most."""
    window = config.window or config.context_length
    return min(config.context_length, window + BLOCK)
