"""What autograd keeps from the forward pass for the backward pass, byte by byte.

With B, T, D, N, K, H, F, E as in `groundup.model.attention`, k experts working on a token, and m
bytes in a matrix product's number (fp32: 4, bf16: 2), each layer keeps for each token on the CPU

    norm of width W       layernorm 4 (W + 2): its input, mean, 1 / deviation; rmsnorm 4 (2 W + 1):
                          its input, the same brought to one size, 1 / size. Of queries and keys
                          likewise, with one mean and size for each vector that is normed
    given to projections  m D: the common input of query, key and value, and that of gate and up;
                          in bf16 every projection keeps a copy of its own
    attention             m (2 N + 2 K) H + 4 N: query, key, value, what it gives to out, and the
                          log of each row's sum of weights (never the T x S weights); rotated
                          queries have another layout, which costs the output a copy: m N H
    feed-forward          m 2 F: the input of GELU and its output, given to down; gated m 4 F
    experts               k times their input, their feed-forward's, their output before and
                          after weighing, and 20 bytes of which and how much; 4 (E + k + 1) + 8 k
                          of the router's scores

and the residual additions nothing. Sequences packed into rows add a mask of m B T^2 to every layer,
as each row has its own, and angles (B, T) in place of (T). In bf16 16-bit copies of all matrices
are kept as well. What windows, soft caps and dropout make of attention: `groundup.plan.attention`.
With activation checkpointing a layer keeps its input, 4 D for each token, and nothing else; all of
the above is there of one layer at a time, in the backward pass: `recomputed`.

Where only adapters of rank r learn, each matrix that has one keeps m r numbers more, DoRA's also
its product and, once, the norms of its rows and the magnitudes divided by them; rmsnorm no longer
keeps what its weight multiplies. That the first block's input needs no gradient, and so less is
kept there, is not counted.

In bf16 on CUDA a 16-bit copy of the model computes (`groundup.optim.narrow`): whatever is a vector
above is then of 2 bytes, one copy of an input is enough, and the matrices' copies are the model's.
"""

from __future__ import annotations

import math

from groundup.config import GPTConfig, TrainConfig, adapter_shapes
from groundup.config.adaptation import DORA, LORA
from groundup.plan.attention import FP32, attention_kept, is_copied, product_bytes
from groundup.plan.count import count_parameters, matrix_weights, windowed_layers


def activations(config: GPTConfig, train: TrainConfig, packed: bool = False) -> int:
    """Return the bytes that autograd keeps from the forward pass for the backward pass.

    Rows may be of several sequences, `packed` side by side.
    """
    n_tokens = train.batch_size * config.context_length
    kept = n_tokens * (_norm(config, train, config.emb_dim) + 8) + _ends(config, train, packed)
    if train.checkpoint_activations == "on":
        permissions = n_tokens * config.context_length * packed  # which all blocks are given
        return kept + permissions + config.n_layers * n_tokens * _width(config, train)
    return kept + _layers(config, train, packed)


def recomputed(config: GPTConfig, train: TrainConfig, packed: bool = False) -> int:
    """Return the bytes that come back, a layer at a time, where activations are checkpointed."""
    if train.checkpoint_activations != "on":
        return 0
    return -(-_layers(config, train, packed) // config.n_layers)


def _width(config: GPTConfig, train: TrainConfig) -> int:
    return flowing_bytes(train) * config.emb_dim


def _layers(config: GPTConfig, train: TrainConfig, packed: bool) -> int:
    n_tokens = train.batch_size * config.context_length
    layer = _norms(config, train) + _given(config, train, 3) + feed_forward_kept(config, train)
    layer += _adapters(config, train)
    kept = n_tokens * (config.n_layers * layer + _masks(config, train))
    kept += attention_kept(config, train, packed) + _row_norms(config, train)
    return kept + _shifted(config) - _shifted_last(config) + _copies(config, train)


def _ends(config: GPTConfig, train: TrainConfig, packed: bool) -> int:
    """Return the bytes of what all layers share, and of the norm and dropout outside of them.

    Angles, or the numbers of learned positions in packed rows; the embeddings' mask, and 1 + the
    last norm's weight.
    """
    n_rows = train.batch_size if packed else 1
    both = 0 < windowed_layers(config) < config.n_layers
    angles = (2 if config.rope_local_base and both else 1) if config.position == "rope" else 0
    shared = FP32 * angles * n_rows * config.context_length * config.head_dim
    if packed and config.position == "learned":
        shared += 8 * n_rows * config.context_length
    shared += _shifted_last(config)
    number = 1 if train.device == "cuda" else FP32
    mask = number * config.emb_dim if config.drop_rate else 0
    return shared + train.batch_size * config.context_length * mask


def _shifted(config: GPTConfig) -> int:
    """Return the bytes of 1 + weight of all norms that are centred on zero."""
    if config.norm != "zero_centered_rmsnorm":
        return 0
    return FP32 * count_parameters(config).parts["normalisation"]


def _shifted_last(config: GPTConfig) -> int:
    return FP32 * config.emb_dim if config.norm == "zero_centered_rmsnorm" else 0


def flowing_bytes(train: TrainConfig) -> int:
    """Return the bytes of a number in what flows from block to block."""
    return product_bytes(train) if is_copied(train) else FP32


def _norm(config: GPTConfig, train: TrainConfig, width: int, n_vectors: int = 1) -> int:
    number = flowing_bytes(train)
    if config.norm == "layernorm":
        return number * width + 2 * FP32 * n_vectors
    return (1 if train.adapts else 2) * number * width + FP32 * n_vectors


def _norms(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes a token of a layer's norms."""
    n_norms = {"sandwich": 4, "parallel_shared": 1}.get(config.norm_order, 2)
    total = n_norms * _norm(config, train, config.emb_dim)
    if config.qk_norm != "none":
        for heads in (config.n_heads, config.n_kv_heads):
            n_vectors = heads if config.qk_norm == "head" else 1
            total += _norm(config, train, heads * config.head_dim, n_vectors)
    return total


def _given(config: GPTConfig, train: TrainConfig, n_projections: int) -> int:
    """Return the bytes a token of the common input of some projections."""
    number = product_bytes(train)
    return number * config.emb_dim * (1 if number == flowing_bytes(train) else n_projections)


def _adapters(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes a token of a layer's adapters: those of experts that work on it."""
    if not train.adapts:
        return 0
    active = max(1, config.n_active_experts)
    kept = (4 + active * (3 if config.is_gated else 2)) * train.lora_rank
    if train.method == DORA:
        kept += _outputs(config, active)
    return product_bytes(train) * kept


def _row_norms(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes of what DoRA keeps of all rows: their norms, and the magnitudes by these."""
    if train.method != DORA:
        return 0
    return 2 * flowing_bytes(train) * config.n_layers * _outputs(config, max(1, config.n_experts))


def _outputs(config: GPTConfig, n_networks: int) -> int:
    """Return the outputs of a layer's matrices, so many feed-forward networks among them."""
    heads = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
    inner = (2 if config.is_gated else 1) * config.ffn_dim
    return heads + config.emb_dim + n_networks * (inner + config.emb_dim)


def feed_forward_kept(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes a token that a layer's feed-forward network, or its experts, keep."""
    number, n_given = product_bytes(train), 2 if config.is_gated else 1
    given = _given(config, train, n_given)
    network = given + number * 2 * n_given * config.ffn_dim
    if not config.n_experts:
        return network
    active = config.n_active_experts
    outputs = (number + FP32) * config.emb_dim
    scores = FP32 * (config.n_experts + active + 1) + 8 * active
    if config.shared_ffn_dim:
        scores += given + number * (2 * n_given * config.shared_ffn_dim + config.emb_dim)
    return _given(config, train, 1) + active * (network + outputs + 20) + scores


def _masks(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes a token of the layers' masks of dropout, after out and every down.

    One byte a value on CUDA; elsewhere the mask is of numbers.
    """
    if not config.drop_rate:
        return 0
    n_masks = config.n_layers * (1 + max(1, config.n_active_experts))
    if train.device == "cuda":
        return config.emb_dim * n_masks
    return config.emb_dim * n_masks * product_bytes(train)


def _copies(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes of the 16-bit copies of the matrices, and of adapters' thin ones."""
    number = product_bytes(train)
    if number == flowing_bytes(train):
        return 0
    thin = adapter_shapes(config, LORA, train.lora_rank).values() if train.adapts else ()
    weights = config.n_layers * matrix_weights(config, config.n_experts)
    return number * (weights + sum(map(math.prod, thin)))
