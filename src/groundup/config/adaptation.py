"""Which weights a training learns: all of them, or small adapters beside a model's matrices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from groundup.config.fields import LATER, Settings, require, require_at_least, require_one_of
from groundup.config.gpt import GPTConfig
from groundup.config.shapes import Parameter, parameter_shapes

FULL, LORA, DORA = "full", "lora", "dora"
METHODS = (FULL, LORA, DORA)
LORA_A, LORA_B, MAGNITUDE = "lora_a", "lora_b", "magnitude"
"""What an adapter's tensors are called, beside the weight that they change."""
RANK, ALPHA = 16, 32.0
LARGER = 10.0
"""How much larger the steps of adapters are than those of all weights: the best rates of LoRA and
of full tuning were found about so far apart (Schulman et al., 2025, "LoRA Without Regret")."""


@dataclass(frozen=True, kw_only=True)
class Adaptation(Settings):
    """What learns: every weight, or adapters of the matrices inside blocks."""

    method: str = field(default=FULL, metadata={LATER: True})
    """full: every weight; lora: two thin matrices beside each matrix of the blocks (Hu et al.,
    2021); dora: these, and the length of each of its rows (Liu et al., 2024)."""
    lora_rank: int = field(default=RANK, metadata={LATER: True})
    """Columns of the thin matrices."""
    lora_alpha: float = field(default=ALPHA, metadata={LATER: True})
    """The product of the thin matrices is multiplied by lora_alpha / lora_rank."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, METHODS, "method")
        require_at_least(self, 1, "lora_rank")
        require(self.lora_alpha > 0, "lora_alpha", self.lora_alpha, "a positive number")
        if not self.adapts:
            for name, default in (("lora_rank", RANK), ("lora_alpha", ALPHA)):
                value = getattr(self, name)
                require(value == default, name, value, "method = lora or dora beside it")

    @property
    def adapts(self) -> bool:
        """Whether adapters learn, and the weights stay as they are."""
        return self.method != FULL


def is_adapter(name: str) -> bool:
    """Tell whether a tensor of this name is of an adapter."""
    return name.rpartition(".")[2] in (LORA_A, LORA_B, MAGNITUDE)


def is_adapted(parameter: Parameter) -> bool:
    """Tell whether a parameter is a matrix that has an adapter.

    Those are all matrices of attention and feed-forward networks, of every expert. A router is
    small, and its choices are delicate.
    """
    inner = parameter.name.startswith("blocks.") and parameter.name.endswith(".weight")
    return inner and len(parameter.shape) == 2 and parameter.part != "router"


def shapes_of_adapters(
    parameters: Iterable[Parameter], method: str, rank: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of the adapters' tensors of a model of these parameters."""
    for parameter in filter(is_adapted, parameters):
        at = parameter.name.removesuffix("weight")
        outputs, inputs = parameter.shape
        yield f"{at}{LORA_A}", (rank, inputs)
        yield f"{at}{LORA_B}", (outputs, rank)
        if method == DORA:
            yield f"{at}{MAGNITUDE}", (outputs,)


def adapter_shapes(config: GPTConfig, method: str, rank: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors that `groundup.adapters.attach` gives a model.

    In the order of `named_parameters()`; none where every weight learns. Raises `ConfigError` for
    a part that groundup does not have, as `parameter_shapes` does.
    """
    if method == FULL:
        return {}
    return dict(shapes_of_adapters(parameter_shapes(config), method, rank))
