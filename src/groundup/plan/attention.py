"""What attention keeps for the backward pass, and what it takes while it is worked off.

Letters as in `groundup.plan.activations`. One kernel keeps query, key and value, its output, and
the log of each row's sum of weights. Of a window W < T there are copies of all of these, one of
them for the blocks, whose keys and values begin W tokens earlier than their queries (`Blocks`).
Scores that are written out in chunks are forgotten again, and with them all but query, key, value
and output.
"""

from __future__ import annotations

from typing import NamedTuple

from groundup.config import GPTConfig, TrainConfig
from groundup.plan.count import BYTES, windowed_layers

FP32 = 4
LEAST_BLOCK = 32
"""Queries of a block at least (`groundup.model.attention.LEAST_BLOCK`)."""
SCORES_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 27}
"""Scores that are written out at once (`groundup.model.attention.SCORES_AT_ONCE`)."""


def product_bytes(train: TrainConfig) -> int:
    """Return the bytes of a number in a matrix product."""
    return FP32 if train.precision == "auto" else BYTES[train.precision]


def is_copied(train: TrainConfig) -> bool:
    """Return whether a 16-bit copy of the model computes the steps, rather than autocast."""
    return train.device == "cuda" and product_bytes(train) < FP32


class Blocks(NamedTuple):
    """How T tokens are cut for a window: `head` tokens, then blocks that see `reach` each."""

    head: int
    block: int
    reach: int

    @property
    def table(self) -> int:
        """Permissions that are written out: of a block, and of a head longer than a window."""
        own = self.head**2 if self.head > self.reach - self.block else 0
        return self.block * self.reach + own


def blocks(config: GPTConfig) -> Blocks | None:
    """Return the cut of the windowed layers, or None where no window is shorter than T."""
    length, window = config.context_length, config.window
    if window is None or window >= length or not windowed_layers(config):
        return None
    block = min(max(LEAST_BLOCK, window // 4), length - window)
    return Blocks(window + (length - window) % block, block, window + block)


def in_chunks(config: GPTConfig) -> bool:
    """Return whether some layer writes its scores out in chunks, which backward are repeated."""
    return config.attention_softcap > 0 or draws_again(config)


def draws_again(config: GPTConfig) -> bool:
    """Return whether such chunks draw what they drop again, by `torch.utils.checkpoint`."""
    chunked = config.attention_softcap > 0 or blocks(config) is not None
    return config.attention_dropout > 0 and chunked


def writes_scores(config: GPTConfig, train: TrainConfig) -> bool:
    """Return whether a whole layer's T x S scores are kept: no fused kernel does what it must."""
    return (
        config.attention_dropout > 0
        and train.device != "cuda"
        and not config.attention_softcap
        and (blocks(config) is None or windowed_layers(config) < config.n_layers)
    )


def attention_kept(config: GPTConfig, train: TrainConfig, packed: bool = False) -> int:
    """Return the bytes that the attention of all layers keeps of a batch, its input apart."""
    n_tokens = train.batch_size * config.context_length
    cut = None if packed else blocks(config)
    n_cut = windowed_layers(config) if cut else 0
    kept = (config.n_layers - n_cut) * n_tokens * _whole(config, train)
    if packed:
        kept += n_tokens * config.context_length * _tables(config, train)
    if cut:
        kept += n_cut * _cut(config, train, cut)
    return kept


def _whole(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes a token of a layer that sees everything.

    Rotated queries have another layout, which costs the output a copy. With dropout it is torch's
    own plain attention on a CPU: in fp32, T weights for each head, the mask, and what it leaves.
    """
    number, heads, head = product_bytes(train), config.n_heads, config.head_dim
    keys = 2 * config.n_kv_heads
    if config.attention_softcap:
        return number * head * (2 * heads + keys)
    if config.attention_dropout and train.device != "cuda":
        return (3 * FP32 + number) * heads * head + 3 * FP32 * heads * config.context_length
    layouts = 3 if config.position == "rope" else 2
    return number * (layouts * heads + keys) * head + FP32 * heads


def _cut(config: GPTConfig, train: TrainConfig, cut: Blocks) -> int:
    """Return the bytes of a layer whose window is worked off by blocks."""
    number, heads, head = product_bytes(train), config.n_heads, config.head_dim
    n_tokens = train.batch_size * config.context_length
    window = cut.reach - cut.block
    keys = 2 * train.batch_size * (config.context_length + window) * config.n_kv_heads
    if config.attention_softcap or config.attention_dropout:
        return number * head * (2 * n_tokens * heads + keys) + cut.table
    own = number * head * (3 * n_tokens * heads + keys)
    return own + FP32 * heads * n_tokens + number * cut.table


def _tables(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes of one token's view of another, where every row has permissions.

    They are there as numbers in each layer, or once for all as they are, where scores are written.
    """
    if config.attention_softcap:
        return 1 + (0 < windowed_layers(config) < config.n_layers)
    if config.attention_dropout and train.device != "cuda":
        return 0
    return config.n_layers * product_bytes(train)


def attention_work(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes that the backward pass through one layer's attention takes.

    The gradients of queries, keys and values; of a block's keys all that it sees. Of a chunk of
    scores those as bounded, the weights, what is masked, and two gradients at once; with dropout
    also its mask and what it leaves.
    """
    number, head = product_bytes(train), config.head_dim
    n_tokens = train.batch_size * config.context_length
    cut = blocks(config)
    if writes_scores(config, train):
        return 2 * FP32 * n_tokens * config.n_heads * config.context_length
    seen = cut.reach / cut.block if cut else 1
    gradients = 2 * config.n_heads + 2 * config.n_kv_heads * seen
    work = int(number * head * gradients * n_tokens)
    if in_chunks(config):
        work += chunk(config, train.batch_size, train.device) * (
            2 * number + 1 + 2 * FP32 + (2 * number if config.attention_dropout else 0)
        )
    return work


def chunk(config: GPTConfig, n_rows: int, device: str) -> int:
    """Return how many scores are written out at once where `n_rows` texts are read."""
    cut = blocks(config) if windowed_layers(config) == config.n_layers else None
    length = config.context_length
    a_token = n_rows * config.n_heads * (length if cut is None else length * cut.reach // cut.block)
    most = SCORES_AT_ONCE.get(device, SCORES_AT_ONCE["cpu"])
    return min(a_token * length, max(most, a_token))
