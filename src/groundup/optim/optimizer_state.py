"""What an optimizer remembers, as named tensors, and back: for a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from groundup.base.errors import RunError, shown
from groundup.optim.optimizer import Optimizer

FIELDS = {"adamw": ("step", "exp_avg", "exp_avg_sq"), "muon": ("momentum",)}
"""What the rules remember of a parameter: each like it, but for the number of steps."""


def optimizer_tensors(
    optimizer: Optimizer, named: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the optimizer's memory as whole tensors named `PARAMETER:FIELD`."""
    names = {parameter: name for name, parameter in named.items()}
    for parameter, state in optimizer.state.items():
        for field, value in state.items():
            whole = optimizer.world.whole(value, parameter) if value.dim() else value
            yield f"{names[parameter]}:{field}", whole


def restore_optimizer(
    optimizer: Optimizer, named: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Give the optimizer back the memory that `optimizer_tensors` yielded."""
    rules = {p: group["rule"] for group in optimizer.param_groups for p in group["params"]}
    remembered = {
        f"{name}:{field}": (parameter, field)
        for name, parameter in named.items()
        for field in FIELDS.get(rules.get(parameter, ""), ())
    }
    optimizer.state.clear()
    for key, value in tensors.items():
        if key not in remembered:
            raise RunError(f"trainer.safetensors: '{shown(key)}' is of no parameter that learns")
        parameter, field = remembered[key]
        shape = () if field == "step" else tuple(parameter.shape)
        if tuple(value.shape) != shape or not value.is_floating_point():
            found = f"{tuple(value.shape)} of {value.dtype}"
            raise RunError(f"trainer.safetensors: {key} is {found}, expected {shape} of numbers")
        # The step count is a scalar that the fused kernel expects beside its parameter.
        own = optimizer.world.part_of(value, parameter) if value.dim() else value
        optimizer.state[parameter][field] = own.to(parameter.device, copy=True)
    for key, (parameter, field) in remembered.items():
        if parameter in optimizer.state and field not in optimizer.state[parameter]:
            raise RunError(f"trainer.safetensors: {key} is missing")
