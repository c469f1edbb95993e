"""The settings of how a run computes: device, number format, processes, threads and memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from groundup.config.fields import LATER, Settings, require, require_at_least, require_one_of

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
PRODUCTS = ("auto", "default", "onednn")
ALLOCATORS = ("auto", "keep", "release", "system")


@dataclass(frozen=True, kw_only=True)
class Compute(Settings):
    """Where and how a step is computed; the numbers stay the same but for rounding."""

    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: str = "auto"
    """auto, fp32 or bf16: the arithmetic of matrix products; weights stay in fp32."""
    products: str = field(default="auto", metadata={LATER: True})
    """auto, default or onednn: the library of a CPU's matrix products in fp32."""
    muon_precision: str = field(default="auto", metadata={LATER: True})
    """auto, fp32 or bf16: the arithmetic of Muon's products, which are larger than a layer's."""
    compile: str = "auto"
    """auto, on or off: torch.compile each block."""
    deterministic: str = "off"
    """on: a GPU uses only kernels that give the same bits each time; a CPU does so anyway."""
    shard: str = "auto"
    """auto, on (each process has a part of every parameter: FSDP2) or off (each has all: DDP)."""
    exact: str = "off"
    """on: the same bits from any number of processes and any accumulation; CPU and fp32 only."""
    exact_shards: int = 0
    """Parts of a step whose gradients are summed in a fixed tree; 0 is the largest power of two, at
    most 8, that its sequences can be cut into."""
    timeout: float = 300.0
    """Seconds after which a process no longer waits for another."""
    threads: int = 0
    """CPU threads; 0 is decided for this machine."""
    allocator: str = "auto"
    """auto, keep (what is freed stays for the next step), release (it goes back), system: Linux."""
    checkpoint_activations: str = "auto"
    """auto, on (blocks keep only their input and compute the rest again) or off."""
    loss_chunk: int = 0
    """Logits that the fused loss holds at once; 0 is decided for the device."""
    loss: str = "fused"
    """fused (never holds all logits in memory) or plain."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 0, "threads", "loss_chunk", "exact_shards")
        require(self.timeout > 0, "timeout", self.timeout, "a positive number of seconds")
        self._check_exact()
        require_one_of(self, DEVICES, "device")
        require_one_of(self, PRECISIONS, "precision", "muon_precision")
        require_one_of(self, PRODUCTS, "products")
        require_one_of(self, ("auto", "on", "off"), "compile", "checkpoint_activations", "shard")
        require_one_of(self, ALLOCATORS, "allocator")
        require_one_of(self, ("fused", "plain"), "loss")
        require_one_of(self, ("on", "off"), "deterministic", "exact")

    def _check_exact(self) -> None:
        if self.exact == "on":
            possible = {"device": "cpu", "precision": "fp32", "muon_precision": "fp32"}
            possible |= {"products": "default", "shard": "off"}
            for name, can in possible.items():
                value = getattr(self, name)
                require(value in ("auto", can), name, value, f"{can} with exact = on")
