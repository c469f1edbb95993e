"""Floating-point operations of the matrix products, which are nearly all the work of a GPT.

A product of (a, b) and (b, c) takes 2 x a x b x c operations. The convention is that of PaLM
(Chowdhery et al., 2022, appendix B), which nanoGPT and others report: the products of attention
are counted over the whole square of T x T, although half of it is masked; embeddings, norms, GELU
and softmax are not counted; nothing is counted twice for being computed twice. Of a window W only
T x W counts, although the blocks that it is worked off by see a quarter more (of windows below 128
up to twice as much); of the experts, only those that work on a token. So the share of a machine's
rate that such a model reaches is never overstated.
"""

from __future__ import annotations

from groundup.config import GPTConfig
from groundup.plan.count import matrix_weights, windowed_layers


def forward_flops_per_token(config: GPTConfig, context_length: int | None = None) -> int:
    """Return the operations that one token of a sequence of `context_length` takes forward.

    Two for each weight of a matrix that multiplies it: in each of L layers 2 D H (N + K) for
    query, key, value and out, 2 D F for the feed-forward network (3 D F with a gate; for each
    expert at work, with D E for their router); V D for the output head. And in each layer
    4 T N H for attention: scores = query . key, and weights . value.
    """
    head = config.vocab_size * config.emb_dim
    return body_flops_per_token(config, context_length) + 2 * head


def body_flops_per_token(config: GPTConfig, context_length: int | None = None) -> int:
    """Return the same without the output head: what the tokens' vectors take."""
    length = context_length or config.context_length
    weights = config.n_layers * matrix_weights(config, config.n_active_experts)
    windowed = windowed_layers(config)
    seen = (config.n_layers - windowed) * length + windowed * min(length, config.window or length)
    return 2 * weights + 4 * seen * config.n_heads * config.head_dim


def training_flops_per_token(config: GPTConfig, context_length: int | None = None) -> int:
    """Return the operations that one token takes forward and backward: three times forward.

    The backward pass has two products for each one of the forward pass: for the gradient of its
    input and of its weight. In the form of Kaplan et al. (2020) and PaLM: 6 P + 12 L T D, where P
    counts the weights that multiply, not the embeddings.
    """
    return 3 * forward_flops_per_token(config, context_length)


def adapting_flops_per_token(config: GPTConfig, n_adapters: int) -> int:
    """Return the operations of training adapters of `n_adapters` parameters beside a model's.

    No gradient is computed of the weights that stay as they are, a product less for each of them.
    Experts that rest are counted with their adapters: those are small.
    """
    forward = forward_flops_per_token(config)
    weights = 2 * (
        config.n_layers * matrix_weights(config, config.n_active_experts)
        + config.vocab_size * config.emb_dim
    )
    return 3 * (forward + 2 * n_adapters) - weights


def model_flops_utilisation(
    tokens_per_second: float, flops_per_token: float, peak_flops: float
) -> float:
    """Return the share of a measured peak (FLOP/s) that measured training turns into a model."""
    return tokens_per_second * flops_per_token / peak_flops
