"""What learning from packed dialogues takes beside a training on windows of a text.

Masks keep dialogues apart; the output head is computed for the replies alone; and what validates
is read in batches of its own size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from groundup.config import GPTConfig, TrainConfig
from groundup.config.adaptation import LORA
from groundup.plan.attention import product_bytes
from groundup.plan.classifier import HEAP_SHARE, READ_AT_ONCE
from groundup.plan.generation import reading
from groundup.plan.memory import TOKENIZER, Memory, training_memory
from groundup.plan.validation import scores_memory

READING = "validation"


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Rows of dialogues side by side; the config's context is as long as a row."""

    counted: float = 1.0
    """The largest share of a batch's places whose targets count."""


def packed_memory(config: GPTConfig, train: TrainConfig, packed: Packed) -> Memory:
    """Return the peak of training on packed rows: in a step, or while it is validated.

    Beside what any training holds there is the tokenizer, and the holes in the heap that rows of
    different lengths leave (as measured for a classifier's: `HEAP_SHARE`). All weights of a model
    of 12.6M parameters, rows of 512 tokens, fp32, one thread: after 4 steps of 4 rows Linux
    reported 1,064 MiB of 1,093 planned; of 1 row 703 of 627, so that such a plan is too low.
    """
    step = training_memory(config, train, packed=True, counted=packed.counted)
    if train.device not in ("auto", "cpu"):
        return step
    gives_back = train.allocator == "release" or train.checkpoint_activations == "on"
    share = 0.0 if gives_back else HEAP_SHARE[product_bytes(train)]
    own = {"tokenizer": TOKENIZER * config.vocab_size}
    learning = step.terms | own | {"heap": int(share * step.terms["activations"])}
    at_once = max(1, READ_AT_ONCE // config.context_length)
    n_tokens = at_once * config.context_length
    read = reading(config, n_tokens, product_bytes(train))
    table = (1 + product_bytes(train)) * n_tokens * config.context_length
    logits = scores_memory(config, n_tokens)
    others = {"gradients": 0, "activations": read + table, "logits": logits, "heap": 0}
    validating = step.terms | own | others
    if sum(validating.values()) > sum(learning.values()):
        return Memory(moment=READING, terms=validating)
    return Memory(moment=step.moment, terms=learning)


def smaller_packed(
    config: GPTConfig, train: TrainConfig, packed: Packed
) -> Iterator[tuple[str, GPTConfig, TrainConfig]]:
    """Yield settings that need less memory, with what they make of `config` and `train`.

    Those that change nothing of what is learnt come first.
    """
    if train.checkpoint_activations != "on":
        changed = replace(train, checkpoint_activations="on")
        yield "checkpoint_activations=on", config, changed
    batch, passes = train.batch_size, train.accumulation
    while batch % 2 == 0:
        batch, passes = batch // 2, passes * 2
        changed = replace(train, batch_size=batch, accumulation=passes)
        yield f"batch_size={batch} --set accumulation={passes}", config, changed
    if not train.adapts:
        yield f"method={LORA}", config, replace(train, method=LORA)
    length = config.context_length
    while length > 2:
        length //= 2
        yield f"max_length={length}", config.replace(context_length=length), train
