"""Checkpoints of tools that save tensors and little more: what is missing is derived or asked."""

from groundup.weights.checkpoints.llama2c import is_llama2c, read_llama2c
from groundup.weights.checkpoints.openai import HPARAMS, read_openai
from groundup.weights.checkpoints.read import is_pickle, read_checkpoint

__all__ = [
    "HPARAMS",
    "is_llama2c",
    "is_pickle",
    "read_checkpoint",
    "read_llama2c",
    "read_openai",
]
