"""How long a step takes at the least, from what this machine was measured to do."""

from __future__ import annotations

from groundup.config import GPTConfig, TrainConfig
from groundup.plan.activations import activations
from groundup.plan.calibration import Calibration
from groundup.plan.flops import adapting_flops_per_token, training_flops_per_token
from groundup.plan.memory import learning_parameters

STATE_TRAFFIC = 40
"""Bytes moved for each parameter in a step: AdamW reads weight, gradient and two averages and
writes three of them back (28); the gradient is written, measured and scaled before (12 more)."""
ACTIVATION_TRAFFIC = 4
"""An activation is written and read forward; it and its gradient are read backward."""


def training_flops_of(config: GPTConfig, train: TrainConfig | None) -> int:
    """Return the operations of training for each token: of all weights, or of adapters alone."""
    if train is None or not train.adapts:
        return training_flops_per_token(config)
    return adapting_flops_per_token(config, learning_parameters(config, train))


def expected_step_seconds(
    config: GPTConfig, train: TrainConfig, calibration: Calibration | None
) -> float | None:
    """Return the least seconds of an optimizer step, or None where nothing was measured.

    Matrix products at their measured rate, and after them the memory traffic at the measured
    bandwidth. A real step also has work that neither counts (GELU, softmax, small products that
    miss the rate), so this is a floor; the first steps of a run give the time to rely on.
    """
    n_tokens = train.sequences_per_step * config.context_length
    moved = ACTIVATION_TRAFFIC * train.accumulation * activations(config, train)
    moved += STATE_TRAFFIC * learning_parameters(config, train)
    return least_seconds(n_tokens * training_flops_of(config, train), moved, train, calibration)


def least_seconds(
    flops: float, moved: float, train: TrainConfig, calibration: Calibration | None
) -> float | None:
    """Return the seconds of so many operations, and of moving so many bytes after them."""
    if calibration is None or train.precision not in ("auto", "fp32"):
        return None
    if train.device not in ("auto", calibration.device):
        return None
    rates = calibration.matmul_gflops
    rate = rates.get(train.threads) if train.threads else max(rates.values(), default=None)
    if rate is None:
        return None
    return flops / (rate * 1e9) + moved / calibration.bandwidth
