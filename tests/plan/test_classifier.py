"""What a classifier is planned to take, against the model, what torch keeps and what it counts."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from groundup.adapters import attach
from groundup.base.errors import UsageError
from groundup.config import GPTConfig, TrainConfig, preset
from groundup.finetune.classifier.model import Classifier
from groundup.finetune.classifier.text_classifier import TOKENS_AT_ONCE
from groundup.finetune.settings import LAYERS
from groundup.model import GPT, plain_attention
from groundup.plan import (
    Calibration,
    Plan,
    Texts,
    check_fits,
    classifier_flops_per_token,
    classifier_memory,
    make_plan,
    plan_rows,
    plan_tables,
)
from groundup.plan.activations import activations
from groundup.plan.classifier import (
    N_POOLINGS,
    READ_AT_ONCE,
    _kept,
    classifier_learning,
    classifier_parameters,
    reading_flops_per_token,
    smaller_classifiers,
)
from groundup.plan.plan import remedies
from tests.plan.test_memory import LLAMA, PROCESSES

SHAPES: dict[str, dict[str, Any]] = {
    "gpt-2": {"qkv_bias": True},
    "untied": {"tie_embeddings": False, "window": 9, "window_pattern": "LG"},
    "llama": {"norm": "rmsnorm", "position": "rope", "feed_forward": "swiglu", "bias": False},
}
SMALL = {"vocab_size": 97, "context_length": 40, "emb_dim": 24, "n_heads": 4, "n_layers": 12,
         "tie_embeddings": True}  # fmt: skip
WAYS = [("head", "full"), ("last", "full"), ("all", "full"), ("all", "lora"), ("all", "dora")]
SMOLLM2 = preset("smollm2-135m", context_length=256)


def shape(name: str) -> GPTConfig:
    return GPTConfig(**{**SMALL, **SHAPES[name]})


def training(method: str, **settings: Any) -> TrainConfig:
    how: dict[str, Any] = {"batch_size": 3, "precision": "fp32", "optimizer": "adamw"}
    if method != "full":
        how["lora_rank"] = 4
    return TrainConfig(**{**how, **settings}, method=method)


def model(config: GPTConfig, layers: str, train: TrainConfig, **how: Any) -> Classifier:
    classifier = Classifier(GPT(config, **how), 3, "mean")
    classifier.learn_only(layers)
    if train.adapts:
        attach(classifier.gpt, train.method, train.lora_rank, train.lora_alpha, 1)
    return classifier.train()


def batch(config: GPTConfig) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(3, config.context_length, dtype=torch.long), torch.tensor([40, 3, 17])


@pytest.mark.parametrize(("layers", "method"), WAYS)
@pytest.mark.parametrize("name", SHAPES)
def test_parameters_are_those_of_the_model(name: str, layers: str, method: str) -> None:
    config, train, texts = shape(name), training(method), Texts(layers=layers, n_labels=3)
    parameters = list(model(config, layers, train).parameters())
    assert classifier_parameters(config, train, texts) == sum(p.numel() for p in parameters)
    learning = sum(p.numel() for p in parameters if p.requires_grad)
    assert classifier_learning(config, train, texts) == learning


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("layers", "method"), WAYS[1:])
@pytest.mark.parametrize("name", SHAPES)
def test_activations_are_what_autograd_keeps(
    name: str, layers: str, method: str, precision: str
) -> None:
    """Beside what pooling and head keep, and but for an adapted first block, where less is kept."""
    config, train = shape(name), training(method, precision=precision)
    classifier = model(config, layers, train)
    seen = {p.untyped_storage().data_ptr(): 0 for p in classifier.parameters()}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        seen.setdefault(storage.data_ptr(), storage.nbytes())
        alive.append(tensor)
        return tensor

    narrow = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with narrow, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        classifier(*batch(config))
    planned = _kept(config, train, Texts(layers=layers, n_labels=3))
    pooled = 3 * (40 + 8 + 4 * 24 + 3 * 4)  # whether it is text, lengths, vectors, scores
    least = 0.97 * planned if method != "full" else planned - 3 * 40 * 8
    assert least <= sum(seen.values()) <= planned + pooled


@pytest.mark.parametrize(("layers", "method"), WAYS[1:])
@pytest.mark.parametrize("name", ["gpt-2", "llama"])
def test_operations_are_those_that_torch_counts(name: str, layers: str, method: str) -> None:
    config, train = shape(name), training(method)
    classifier = model(config, layers, train, attend=plain_attention)
    # torch counts a product that is added to something, but not where it is added in place.
    known = {torch.ops.aten.addmm_: lambda _, a, b, **shapes: 2 * a[0] * a[1] * b[1]}
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        classifier(*batch(config)).sum().backward()
    texts = Texts(layers=layers, n_labels=3, n_texts=1, n_tokens=40)
    head = 3 * 3 * 24 * 3 * 2
    counted = (counter.get_total_flops() - head) / (3 * 40)
    planned = classifier_flops_per_token(config, train, texts)
    assert counted == pytest.approx(planned, rel=0.04 if train.adapts else 1e-3)


def test_a_head_learns_from_texts_that_are_read_once() -> None:
    config, train = preset("nano"), training("full", steps=100)
    texts = Texts(layers="head", n_texts=200, n_tokens=4000, n_kept=250)
    plan = make_plan(config, train, texts=texts)
    assert plan.flops_per_token == 0
    assert plan.work == 4000 * reading_flops_per_token(config, texts)
    assert (plan.tokens_per_step, plan.passes) == (60, 1.5)
    assert plan.training is not None
    terms = plan.training.terms
    assert terms["vectors"] == 250 * N_POOLINGS * 4 * config.emb_dim
    assert terms["optimizer"] == 2 * 4 * 2 * config.emb_dim
    assert plan.training.moment == "reading of texts"
    words = dict(plan_rows(plan))
    head = 2 * config.emb_dim
    assert words["Learns"].startswith(f"{head} of ")
    assert words["Learns"].endswith(" parameters (the head)")
    assert words["Learns from"] == (
        "200 texts of 20 tokens in the mean (100 steps of 3), 1.5 passes over the texts"
    )
    assert words["Work"].endswith(" a token, each read once)")


def test_less_learns_in_less_memory_and_with_less_work() -> None:
    def taken(layers: str, method: str = "full", **settings: Any) -> tuple[int, int]:
        texts, train = Texts(layers=layers), training(method, **settings)
        return (
            classifier_memory(SMOLLM2, train, texts).total,
            classifier_flops_per_token(SMOLLM2, train, texts),
        )

    all_, lora, last, head = taken("all"), taken("all", "lora"), taken("last"), taken("head")
    assert all_[0] > lora[0] > last[0] >= head[0]
    assert all_[1] > lora[1] > last[1] > head[1]
    assert taken("all", checkpoint_activations="on")[0] < all_[0]
    assert taken("all", accumulation=2)[0] > all_[0]
    saved = taken("all", "lora", save="background")[0] - lora[0]
    learning = classifier_learning(SMOLLM2, training("lora"), Texts(layers="all"))
    assert saved == 3 * 4 * learning, "what learns and its moments, nothing of the base"


@pytest.mark.parametrize(("precision", "share"), [("fp32", 0.15), ("bf16", 0.5)])
def test_the_heap_s_holes_are_counted_where_freed_memory_is_kept(
    precision: str, share: float
) -> None:
    train = training("lora", precision=precision, allocator="keep")
    terms = classifier_memory(SMOLLM2, train, Texts(layers="all")).terms
    assert terms["heap"] == int(share * terms["activations"]) > 0
    for given_back in ({"allocator": "release"}, {"checkpoint_activations": "on"}):
        other = training("lora", precision=precision, **given_back)
        assert classifier_memory(SMOLLM2, other, Texts(layers="all")).terms["heap"] == 0


def test_lora_of_smollm2_is_planned_within_two_gibibytes() -> None:
    train = TrainConfig(method="lora", batch_size=1, precision="fp32", optimizer="adamw")
    assert classifier_memory(SMOLLM2, train, Texts(layers="all")).total < 2 << 30


def test_short_texts_take_less_of_a_model_that_sees_more() -> None:
    config, train = preset("gpt2-124m"), training("full")
    long, short = (make_plan(config, train, texts=Texts(layers="all", longest=n)) for n in (0, 20))
    assert short.memory["total"] < long.memory["total"] / 1.2
    assert short.memory["weights"] == long.memory["weights"], "with all learned positions"
    assert (short.tokens_per_step, long.tokens_per_step) == (60, 3072)


def test_texts_are_read_as_many_at_once_as_the_classifier_does() -> None:
    assert READ_AT_ONCE == TOKENS_AT_ONCE
    assert set(LAYERS) == {layers for layers, _ in WAYS}


def test_what_is_not_known_before_the_texts_is_not_told() -> None:
    plan = make_plan(preset("nano"), training("lora"), texts=Texts(layers="all"))
    steps = TrainConfig().steps
    assert plan.passes is None
    words = dict(plan_rows(plan))
    assert words["Learns from"] == f"{steps:,} steps of 3 texts of 128 tokens or less"
    assert "lora of rank 4 and the head" in words["Learns"]
    timed = make_plan(preset("nano"), training("full", minutes=5), texts=several("last"))
    assert "as many steps as time allows" in dict(plan_rows(timed))["Learns from"]
    for table in plan_tables(timed):
        for row in table.rows:
            assert len(row) == len(table.columns)


def several(layers: str) -> Texts:
    return Texts(layers=layers, n_texts=1000, n_tokens=20_000, n_kept=1100)


def plan_of(layers: str, method: str = "full") -> Plan:
    train = TrainConfig(method=method, batch_size=8, precision="fp32", optimizer="adamw")
    return make_plan(SMOLLM2, train, texts=several(layers))


def test_what_does_not_fit_is_refused_with_settings_of_a_classifier_that_do() -> None:
    plan = plan_of("all")
    with pytest.raises(UsageError) as refused:
        check_fits(plan, available=2500 << 20)
    message = str(refused.value)
    assert "--set method=lora" not in message, "that does not fit either"
    assert "n_layers" not in message
    with pytest.raises(UsageError, match=r"--set method=lora\b"):
        check_fits(plan, available=plan_of("all", "lora").memory["total"])
    assert plan.train is not None
    for fix, train, texts in smaller_classifiers(plan.config, plan.train, several("all")):
        assert classifier_memory(plan.config, train, texts).total <= plan.memory["total"], fix
    names = {fix.partition("=")[0] for fix, _ in remedies(plan_of("head"))}
    assert names == {"max_length"}


def test_of_a_last_block_the_activations_are_one_block_s() -> None:
    train = training("full")
    given = 4 * 3 * 256 * (576 + 1)  # needs no gradient
    one = activations(SMOLLM2.replace(n_layers=1), train) - given
    assert _kept(SMOLLM2, train, Texts(layers="last")) == one


def test_a_time_is_told_from_a_calibration_for_what_is_computed() -> None:
    measured = Calibration(device="cpu", matmul_gflops={1: 50.0}, bandwidth=1e15)
    train = training("lora", threads=1, steps=10)
    plan = make_plan(SMOLLM2, train, texts=several("all"), calibration=measured)
    flops = classifier_flops_per_token(SMOLLM2, train, several("all"))
    assert plan.seconds == pytest.approx(10 * 3 * 20 * flops / 50e9, rel=1e-3)
    head = make_plan(SMOLLM2, train, texts=several("head"), calibration=measured)
    assert head.seconds is None


RUN = """
import json, sys
import torch
from groundup.adapters import attach
from groundup.config import GPTConfig, TrainConfig, build
from groundup.device.machine import peak_memory_mib
from groundup.finetune.classifier.model import Classifier
from groundup.finetune.classifier.step import ClassifyStep
from groundup.model import GPT
from groundup.optim.activation_checkpointing import checkpoint_blocks
from groundup.optim.optimizer import build_optimizer
torch.set_num_threads(2)
config, train = (build(c, t) for c, t in zip((GPTConfig, TrainConfig), json.loads(sys.argv[1])))
model = Classifier(GPT(config), 2, "mean")
model.learn_only(sys.argv[2])
if train.adapts:
    attach(model.gpt, train.method, train.lora_rank, train.lora_alpha, 1)
step = ClassifyStep(model.train())
if train.checkpoint_activations == "on":
    checkpoint_blocks(step.blocks, False)
optimizer = build_optimizer(model, train)
n, length = train.batch_size, config.context_length
for _ in range(2):
    for _ in range(train.accumulation):
        tokens = torch.randint(0, config.vocab_size, (n, length))
        lengths, labels = torch.full((n,), length), torch.zeros(n, dtype=torch.long)
        loss, n_texts = step(tokens, lengths, labels, torch.ones(n))
        (loss / n_texts).backward()
    optimizer.step()
    optimizer.zero_grad()
print(peak_memory_mib(torch.device("cpu")))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the allocator's threshold is glibc's")
@pytest.mark.parametrize(
    ("layers", "settings"),
    [
        ("all", {}),
        ("all", {"batch_size": 4, "accumulation": 2}),
        ("last", {"batch_size": 48}),
        ("all", {"method": "lora"}),
        ("all", {"method": "dora"}),
        ("all", {"method": "lora", "batch_size": 48, "checkpoint_activations": "on"}),
    ],
)
def test_peak_of_a_real_process(layers: str, settings: dict[str, Any]) -> None:
    """Without a tokenizer; large blocks are given back at once, so that this is what is held."""
    model: dict[str, Any] = {**LLAMA, "context_length": 128, "tie_embeddings": True}
    train: dict[str, Any] = {"batch_size": 16, "optimizer": "adamw", "precision": "fp32"}
    train |= {"allocator": "release", **settings}
    memory = classifier_memory(GPTConfig(**model), TrainConfig(**train), Texts(layers=layers))
    planned = memory.total - memory.terms["process"] - memory.terms["tokenizer"]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 18)}
    command = [sys.executable, "-c", RUN, json.dumps([model, train]), layers]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    least, most = (size << 20 for size in PROCESSES)
    peak = int(float(done.stdout) * 2**20)
    assert least + 0.92 * planned <= peak <= most + 1.08 * planned
