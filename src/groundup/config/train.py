"""Everything that determines a training run besides the model's shape and the text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from groundup.config.fields import by_name, check_types, require

SCHEDULES = ("cosine", "wsd", "constant")
ORDERS = ("permutation", "random", "sliding")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
SWITCHES = ("auto", "on", "off")
LOSSES = ("fused", "plain")
OPTIMIZERS = ("muon", "adamw")
POLICIES = ("stop", "skip", "back")
ALLOCATORS = ("auto", "keep", "release", "system")


@by_name
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of a training run; "auto" and None are decided once and written down.

    Raises `ConfigError`, one line naming the field, for a value that makes no sense.
    """

    steps: int = 1000
    """Optimizer steps of the whole run."""
    minutes: float | None = None
    """A time budget: `steps` is chosen from the speed of the first steps to fill it."""
    epochs: float | None = None
    """Passes over the training tokens: `steps` is chosen to make them, once the text is known."""
    batch_size: int = 8
    """Sequences in one forward and backward pass."""
    accumulation: int = 1
    """Passes whose gradients are added up before each optimizer step."""
    optimizer: str = "muon"
    """muon: Muon for the matrices inside blocks, AdamW for the rest; adamw: AdamW for all."""
    learning_rate: float | None = None
    """AdamW's peak learning rate; None follows from emb_dim: wider models step smaller."""
    muon_learning_rate: float | None = None
    """Muon's peak learning rate, on the same schedule; None is 0.02, for any width."""
    min_learning_rate: float | None = None
    """Learning rate at the last step; None is a tenth of the peak."""
    warmup_steps: int | None = None
    """Steps of linear rise to the peak; None is a tenth of the run and at most 100."""
    schedule: str = "cosine"
    """cosine, wsd (warm-up, stable, then linear decay) or constant, after the warm-up."""
    decay_share: float = 0.2
    """Share of the steps that wsd spends decaying."""
    muon_momentum: float = 0.95
    """Muon's memory of the gradient."""
    weight_decay: float = 0.1
    """Decoupled decay of weight matrices and embeddings; biases and norms are never decayed."""
    beta1: float = 0.9
    """AdamW's memory of the gradient."""
    beta2: float = 0.99
    """AdamW's memory of the squared gradient."""
    grad_clip: float = 1.0
    """Largest norm of the whole gradient; 0 leaves it alone."""
    balance_loss: float = 0.01
    """Weight of the loss that keeps a mixture's experts evenly busy."""
    seed: int = 1
    """Determines the initial weights, the order of the data and dropout."""
    order: str = "permutation"
    """Order of the windows: permutation, random or sliding (see the data room)."""
    stride: int | None = None
    """Distance between sliding windows; None is context_length."""
    eval_every: int | None = None
    """Steps between validations; None gives 20 of them in a run."""
    eval_tokens: int | None = None
    """Most validation tokens used while training, spread over the split; the end uses all. None is
    16,384, or fewer where these would take more than 3% of the run."""
    sample_every: int | None = None
    """Steps between samples of the model's own writing; None gives 5 of them in a run."""
    sample_tokens: int = 60
    """Length of such a sample; 0 writes none."""
    sample_prompt: str = ""
    """What samples continue; empty is a line from the middle of the validation text."""
    save_every: int | None = None
    """Steps between checkpoints; None follows eval_every."""
    save: str = "auto"
    """auto, background (a copy is written beside the training) or foreground."""
    keep: int = 2
    """Latest checkpoints kept, besides the best."""
    keep_every: int | None = None
    """Checkpoints of every so many steps are kept too."""
    on_nonfinite: str = "stop"
    """Of a loss or gradient that is no finite number: stop, skip (the step is left out) or back
    (to the last checkpoint, with half the learning rate). The weights stay as they were."""
    on_spike: str = "report"
    """Of a loss that leaps up: report, stop, skip or back."""
    spike_score: float = 10.0
    """How many deviations above the median of the last 100 losses a leap is."""
    max_skips: int = 10
    """Steps that may be left out in a run."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: str = "auto"
    """auto, fp32 or bf16: the arithmetic of matrix products; weights stay in fp32."""
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
        check_types(self)
        for name, value in vars(self).items():
            finite = not isinstance(value, float) or math.isfinite(value)
            require(finite, name, value, "a finite number")
        for name in ("steps", "batch_size", "accumulation", "keep"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in (
            "eval_every",
            "eval_tokens",
            "sample_every",
            "save_every",
            "keep_every",
            "stride",
        ):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "1 or more")
        for name in (
            "sample_tokens",
            "threads",
            "loss_chunk",
            "weight_decay",
            "grad_clip",
            "balance_loss",
            "max_skips",
            "exact_shards",
            "seed",
        ):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("beta1", "beta2", "muon_momentum"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "from 0 to below 1")
        for name in ("learning_rate", "muon_learning_rate"):
            value = getattr(self, name)
            require(value is None or 0 < value <= 10, name, value, "above 0, at most 10")
        peak, low = self.learning_rate, self.min_learning_rate
        most = 10 if peak is None else peak
        expected = f"from 0 to learning_rate = {most}"
        require(low is None or 0 <= low <= most, "min_learning_rate", low, expected)
        warm = self.warmup_steps
        require(warm is None or warm >= 0, "warmup_steps", warm, "0 or more")
        require(0 < self.decay_share <= 1, "decay_share", self.decay_share, "above 0, at most 1")
        require(self.spike_score > 0, "spike_score", self.spike_score, "a positive number")
        self._check_exact()
        require(self.timeout > 0, "timeout", self.timeout, "a positive number of seconds")
        minutes = self.minutes
        require(minutes is None or 0 < minutes < 1e6, "minutes", minutes, "a positive number")
        epochs = self.epochs
        require(epochs is None or 0 < epochs < 1e6, "epochs", epochs, "a positive number of passes")
        alone = epochs is None or minutes is None
        require(alone, "epochs", epochs, f"either epochs or minutes = {minutes}, not both")
        for name, known in (
            ("schedule", SCHEDULES),
            ("order", ORDERS),
            ("device", DEVICES),
            ("precision", PRECISIONS),
            ("compile", SWITCHES),
            ("checkpoint_activations", SWITCHES),
            ("allocator", ALLOCATORS),
            ("loss", LOSSES),
            ("optimizer", OPTIMIZERS),
            ("deterministic", ("on", "off")),
            ("shard", SWITCHES),
            ("save", ("auto", "background", "foreground")),
            ("exact", ("on", "off")),
            ("on_nonfinite", POLICIES),
            ("on_spike", ("report", *POLICIES)),
        ):
            value = getattr(self, name)
            require(value in known, name, value, f"one of {', '.join(known)}")

    def _check_exact(self) -> None:
        shards, total = self.exact_shards, self.sequences_per_step
        fits = shards & (shards - 1) == 0 and (shards == 0 or total % shards == 0)
        require(fits, "exact_shards", shards, f"a power of two that divides {total} sequences")
        if self.exact == "on":
            for name, can in (("device", "cpu"), ("precision", "fp32"), ("shard", "off")):
                value = getattr(self, name)
                require(value in ("auto", can), name, value, f"{can} with exact = on")

    def peak_learning_rate(self, emb_dim: int) -> float:
        """Return AdamW's learning rate as set, else the one for a model `emb_dim` wide.

        For matrices GPT-3's table 2.1 (Brown et al., 2020) falls about as 1 / emb_dim, from 6e-4 at
        768. Embeddings alone, where Muon takes the matrices, bear about three times that.
        """
        matrices = min(0.003, 0.4 / emb_dim)
        return self.learning_rate or (3 * matrices if self.optimizer == "muon" else matrices)

    @property
    def peak_muon_learning_rate(self) -> float:
        """Muon's learning rate as set, else 0.02.

        Muon changes a vector by as much in any direction, whatever the width of the matrix.
        """
        return self.muon_learning_rate or 0.02

    @property
    def sequences_per_step(self) -> int:
        """Sequences that one optimizer step learns from."""
        return self.batch_size * self.accumulation
