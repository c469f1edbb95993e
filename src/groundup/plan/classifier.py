"""What a classifier takes: a GPT that gives each text a vector, and a head that scores labels.

There are no logits of tokens, and what stays as it is has neither gradient nor moments:

    all    every layer learns, or an adapter of every matrix; an output head of its own does not
    last   the last block and the final norm: the blocks before it pass texts on and keep nothing
    head   the head alone, on the vectors of texts that the model has read once

The head has no bias: C D parameters for C labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from groundup.config import GPTConfig, TrainConfig
from groundup.config.adaptation import LORA
from groundup.plan.activations import activations, flowing_bytes
from groundup.plan.activations import recomputed as recomputed_bytes
from groundup.plan.attention import FP32, is_copied, product_bytes
from groundup.plan.calibration import Calibration
from groundup.plan.count import block_parts, count_parameters, matrix_weights
from groundup.plan.flops import body_flops_per_token
from groundup.plan.generation import reading
from groundup.plan.memory import (
    MOMENTS,
    PROCESS,
    TOKENIZER,
    Memory,
    block_work,
    learning_parameters,
    muon_work,
)
from groundup.plan.speed import ACTIVATION_TRAFFIC, STATE_TRAFFIC, least_seconds

HEAD, LAST, ALL = "head", "last", "all"
READ_AT_ONCE = 4096
"""Places read at once without a gradient (`groundup.finetune.classifier.text_classifier`)."""
HEAP_SHARE = {4: 0.15, 2: 0.5}
"""Of the activations, by the bytes of a number in a product: what glibc's heap takes beyond what is
held in it, as holes between blocks that are kept are too small for the next (measured on SmolLM2 in
three steps: fp32, LoRA and DoRA 0.10, full 0.17; bf16, LoRA 0.47 and 0.48, full 0.71; docs/plan.md
has the cases). Nothing of it where large blocks go back."""
READING = "reading of texts"
N_POOLINGS = 2
"""A text's vector is kept by every pooling until one is chosen."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The labelled texts of a classifier, and which of its layers learn."""

    layers: str
    n_labels: int = 2
    longest: int = 0
    """Tokens of the longest; 0: as many as the model sees."""
    n_texts: int = 0
    """To learn from; 0 while that is not known."""
    n_tokens: int = 0
    """In these."""
    n_kept: int = 0
    """Texts whose vectors are kept where only a head learns: those that validate, too."""

    @property
    def mean_length(self) -> float | None:
        """Tokens of a text; None while that is not known."""
        return self.n_tokens / self.n_texts if self.n_texts else None


def classifier_parameters(config: GPTConfig, train: TrainConfig, texts: Texts) -> int:
    """Return the parameters of all: the model's, its adapters' and the head's."""
    adapters = learning_parameters(config, train) if train.adapts else 0
    return count_parameters(config).total + adapters + _head(config, texts)


def classifier_learning(config: GPTConfig, train: TrainConfig, texts: Texts) -> int:
    """Return how many parameters learn."""
    head = _head(config, texts)
    if texts.layers == HEAD:
        return head
    if texts.layers == LAST:
        block, one = block_parts(config), count_parameters(_last_block(config)).parts
        return sum(block.values()) + one["normalisation"] - block["normalisation"] + head
    unused = 0 if config.tie_embeddings or train.adapts else config.vocab_size * config.emb_dim
    return learning_parameters(config, train) - unused + head


def classifier_memory(config: GPTConfig, train: TrainConfig, texts: Texts) -> Memory:
    """Return the peak of a classifier's training.

    Beside the moments of any training there is the reading of many texts at once without a
    gradient: of those that validate, and where only a head learns of all. With adapters the first
    block keeps less than is counted, as nothing that learns stands before it.
    """
    on_cpu = train.device in ("auto", "cpu")
    own, learning = (f(config, train, texts) for f in (classifier_parameters, classifier_learning))
    config = as_read(config, texts)
    whole, kept = FP32 * learning, _kept(config, train, texts)
    held = whole if train.accumulation > 1 else 0
    moments, work = _moments(config, train, texts, learning)
    sums = {
        READING: (0, _reading(config, train, texts), 0),
        "optimizer's work": (whole, 0, work),
    }
    if texts.layers != HEAD:
        sums |= _moments_of_a_step(config, train, texts, held, kept, whole)
    holes = {name: _holes(name, at_work, train) for name, (_, at_work, _) in sums.items()}
    moment = max(sums, key=lambda name: sum(sums[name]) + holes[name])
    gradients, at_work, more = sums[moment]
    terms = {
        "weights": FP32 * own + product_bytes(train) * own * is_copied(train),
        "gradients": gradients,
        "optimizer": moments + more,
        "activations": at_work,
        "heap": holes[moment],
        "process": PROCESS if on_cpu else 0,
        "tokenizer": TOKENIZER * config.vocab_size if on_cpu else 0,
    }
    if texts.layers == HEAD:
        terms["vectors"] = FP32 * N_POOLINGS * texts.n_kept * config.emb_dim
    if train.save == "background" and on_cpu:
        stored = own if texts.layers == ALL and not train.adapts else learning
        terms["saving"] = FP32 * stored + moments
    return Memory(moment=moment, terms=terms)


def classifier_flops_per_token(config: GPTConfig, train: TrainConfig, texts: Texts) -> int:
    """Return the operations of training for each token of texts of the mean length.

    Three times those of a forward pass where all learns, without the output head's. The blocks
    before the last one compute no gradient; where only a head learns no token is computed at all
    (`reading_flops_per_token` is for once). The head's own, a text's and not a token's, are left
    out.
    """
    if texts.layers == HEAD:
        return 0
    body = reading_flops_per_token(config, texts)
    if texts.layers == LAST:
        return body + 2 * reading_flops_per_token(_last_block(config), texts)
    if train.adapts:
        without_head = 2 * config.n_layers * matrix_weights(config, config.n_active_experts)
        return 3 * (body + 2 * learning_parameters(config, train)) - without_head
    return 3 * body


def reading_flops_per_token(config: GPTConfig, texts: Texts) -> int:
    """Return the operations of a forward pass that ends before the output head."""
    length = texts.mean_length or as_read(config, texts).context_length
    return body_flops_per_token(config, max(1, round(length)))


def classifier_step_seconds(
    config: GPTConfig, train: TrainConfig, texts: Texts, calibration: Calibration | None
) -> float | None:
    """Return the least seconds of a step, by texts of the mean length, or None as of any training.

    A head's steps take next to nothing beside the reading before them, which is no step.
    """
    if texts.layers == HEAD:
        return None
    config = as_read(config, texts)
    length = texts.mean_length or config.context_length
    products = train.sequences_per_step * length * classifier_flops_per_token(config, train, texts)
    share = length / config.context_length
    moved = ACTIVATION_TRAFFIC * train.accumulation * share * _kept(config, train, texts)
    moved += STATE_TRAFFIC * classifier_learning(config, train, texts)
    return least_seconds(products, moved, train, calibration)


def as_read(config: GPTConfig, texts: Texts) -> GPTConfig:
    """Return the model as texts see it: its context is as long as the longest of them."""
    return config.replace(context_length=texts.longest or config.context_length)


def smaller_classifiers(
    config: GPTConfig, train: TrainConfig, texts: Texts
) -> Iterator[tuple[str, TrainConfig, Texts]]:
    """Yield settings that need less memory, with what they make of `train` and `texts`.

    Those that change nothing of what is learnt come first.
    """
    if texts.layers != HEAD:
        if train.checkpoint_activations != "on":
            changed = replace(train, checkpoint_activations="on")
            yield "checkpoint_activations=on", changed, texts
        batch, passes = train.batch_size, train.accumulation
        while batch % 2 == 0:
            batch, passes = batch // 2, passes * 2
            changed = replace(train, batch_size=batch, accumulation=passes)
            yield f"batch_size={batch} --set accumulation={passes}", changed, texts
    if texts.layers == ALL and not train.adapts:
        yield f"method={LORA}", replace(train, method=LORA), texts
    length = as_read(config, texts).context_length
    while length > 1:
        length //= 2
        yield f"max_length={length}", train, replace(texts, longest=length)


def _head(config: GPTConfig, texts: Texts) -> int:
    return texts.n_labels * config.emb_dim


def _last_block(config: GPTConfig) -> GPTConfig:
    """Return a model of the last block alone."""
    pattern = config.window_pattern
    last = pattern[(config.n_layers - 1) % len(pattern)]
    return config.replace(n_layers=1, window_pattern=last)


def _learning_blocks(config: GPTConfig, texts: Texts) -> GPTConfig:
    """Return a model of the blocks through which gradients flow."""
    return _last_block(config) if texts.layers == LAST else config


def _kept(config: GPTConfig, train: TrainConfig, texts: Texts) -> int:
    """Return the bytes that a step keeps for the backward pass.

    What the last block is given needs no gradient, so that an rmsnorm there keeps neither it nor
    1 / size, but only what its weight multiplies; unless the block is computed again.
    """
    if texts.layers == HEAD:
        return 0
    kept = activations(_learning_blocks(config, texts), train)
    again = train.checkpoint_activations == "on"
    if texts.layers == ALL or config.norm == "layernorm" or config.norm_order == "post" or again:
        return kept
    return kept - _hidden(config, train) - FP32 * train.batch_size * config.context_length


def _hidden(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes of what flows from block to block."""
    return flowing_bytes(train) * train.batch_size * config.context_length * config.emb_dim


def _moments_of_a_step(
    config: GPTConfig, train: TrainConfig, texts: Texts, held: int, kept: int, whole: int
) -> dict[str, tuple[int, int, int]]:
    """Return gradients, activations and the optimizer's work in a step, before it moves.

    Pooling takes the tokens' vectors and, for the mean, those of padding set to 0; backward it is
    the gradient of all vectors, which the final norm's follows.
    """
    again = recomputed_bytes(_learning_blocks(config, texts), train) + block_work(config, train)
    return {
        "end of the forward pass": (held, kept + 2 * _hidden(config, train), 0),
        "start of the backward pass": (held, kept + again, 0),
        "end of the backward pass": (whole, 0, 0),
    }


def _holes(moment: str, at_work: int, train: TrainConfig) -> int:
    """Return the bytes of the heap's holes beside so many bytes of activations."""
    gives_back = train.allocator == "release" or train.checkpoint_activations == "on"
    if moment == READING or gives_back or train.device not in ("auto", "cpu"):
        return 0  # reading keeps nothing between two blocks
    return int(HEAP_SHARE[product_bytes(train)] * at_work)


def _moments(config: GPTConfig, train: TrainConfig, texts: Texts, learning: int) -> tuple[int, int]:
    """Return the bytes of the optimizer's averages, and of its work."""
    if train.optimizer != "muon" or train.adapts or texts.layers == HEAD:
        return FP32 * MOMENTS * learning, 0
    blocks = _learning_blocks(config, texts)
    matrices = blocks.n_layers * matrix_weights(config, config.n_experts)
    return FP32 * (MOMENTS * learning - matrices), muon_work(blocks, train)


def _reading(config: GPTConfig, train: TrainConfig, texts: Texts) -> int:
    """Return the bytes of reading as many texts as are read at once without a gradient."""
    at_once = max(1, READ_AT_ONCE // config.context_length)
    if texts.layers != HEAD and train.batch_size > at_once:  # the step's own texts
        at_once = train.batch_size
    if texts.n_texts:
        at_once = min(at_once, max(texts.n_texts, texts.n_kept))
    return reading(config, at_once * config.context_length, product_bytes(train))
