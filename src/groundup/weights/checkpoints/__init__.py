"""Checkpoints of tools that save tensors and little more: what is missing is derived or asked."""

from groundup.weights.checkpoints.read import is_pickle, read_checkpoint

__all__ = ["is_pickle", "read_checkpoint"]
