"""Whether two sets of weights are the same model: their logits on the same tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groundup.config import GPTConfig
from groundup.model import empty_gpt
from groundup.runs.tensor_file import Stored
from groundup.weights.tensor_names import EMBEDDING, HEAD

N_TOKENS = 32


@torch.inference_mode()
def sample_logits(
    config: GPTConfig, tensors: dict[str, Stored], head: Stored | None = None
) -> Tensor:
    """Return the logits (1, T, V) of a few tokens from all over the vocabulary, in fp32.

    With the `head` (C, D) of a classifier it is the scores of its labels (1, T, C).

    Each part of the model is read when it is called and forgotten afterwards, so that a model
    larger than the memory can be asked too.
    """
    model = empty_gpt(config).eval()
    found = {HEAD: tensors[EMBEDDING], **tensors} if config.tie_embeddings else tensors
    for name, module in model.named_modules():
        own = {key: found[f"{name}.{key}"] for key, _ in module.named_parameters(recurse=False)}
        if own:
            _read_when_called(module, own)
    n_tokens = min(N_TOKENS, config.context_length)
    tokens = torch.arange(n_tokens)[None] * 7919 % config.vocab_size
    if head is not None:
        return model.hidden_states(tokens) @ head.read().float().T
    logits: Tensor = model(tokens)
    return logits


def _read_when_called(module: nn.Module, own: dict[str, Stored]) -> None:
    absent = dict(module.named_parameters(recurse=False))

    def read(module: nn.Module, inputs: object) -> None:
        for key, stored in own.items():
            setattr(module, key, nn.Parameter(stored.read().float(), requires_grad=False))

    def forget(module: nn.Module, inputs: object, output: object) -> None:
        for key, parameter in absent.items():
            setattr(module, key, parameter)

    module.register_forward_pre_hook(read)
    module.register_forward_hook(forget)


def largest_difference(first: Tensor, second: Tensor) -> float:
    """Return the largest absolute difference, NaN where the two are not of one vocabulary."""
    return (first - second).abs().max().item() if first.shape == second.shape else float("nan")
