"""A model with parts that groundup does not have is trained, kept and gone on with as any other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup import GPT, PARTS, CharTokenizer, GPTConfig, TrainConfig, load, save
from groundup.base.errors import UsageError
from groundup.model import FeedForward, Parts
from groundup.runs import RunFolder, read_lines
from groundup.train import Listener, TrainStep, train
from groundup.train.choices import choose
from tests.model.own_parts import CHOICES, OWN, own_gpt

TEXT = "the cat sat on the mat. the dog sat on the log. " * 20
TOKENIZER = CharTokenizer.train([TEXT])
SHORT: dict[str, Any] = {"steps": 5, "save_every": 2, "eval_every": 3, "sample_tokens": 3}


def noisy(x: Tensor) -> Tensor:
    return x * (torch.rand_like(x) < 0.9)


NOISY = replace(
    PARTS,
    feed_forwards={**PARTS.feed_forwards, "noisy": partial(FeedForward, activation=noisy)},
)
CHOSEN: dict[str, tuple[dict[str, Any], Parts]] = {
    **{name: (choice, OWN) for name, choice in CHOICES.items()},
    "noise": ({"feed_forward": "noisy"}, NOISY),
}


class KilledError(Exception):
    pass


class Killed(Listener):
    def metrics(self, record: dict[str, Any]) -> None:
        if record["step"] == 3:
            raise KilledError


def trained(model: GPT, **settings: Any) -> list[float]:
    metrics = train(model, TOKENIZER, TEXT, show=False, **{**SHORT, **settings})
    return [line["train_loss"] for line in metrics if "train_loss" in line]


def made(choice: str, seed: int = 0) -> GPT:
    changes, parts = CHOSEN[choice]
    config = own_gpt("norm").config.replace(norm="layernorm", vocab_size=TOKENIZER.vocab_size)
    torch.manual_seed(seed)
    return GPT(config.replace(**changes), parts=parts)


@pytest.mark.parametrize("choice", CHOSEN)
def test_the_same_call_goes_on_where_it_was_killed(tmp_path: Path, choice: str) -> None:
    whole, again = made(choice), made(choice, seed=1)
    losses = trained(whole)
    with pytest.raises(KilledError):
        trained(made(choice), run=tmp_path / "mine", listeners=[Killed()])
    with pytest.warns(UserWarning, match="goes on from step 2 in .*mine"):
        assert trained(again, run=tmp_path / "mine") == losses
    loaded = load(tmp_path / "mine", "latest", parts=CHOSEN[choice][1]).model
    for first, second, third in zip(
        whole.parameters(), again.parameters(), loaded.parameters(), strict=True
    ):
        assert torch.equal(first, second)
        assert torch.equal(first, third)


class RandomNumbers(FeedForward):
    """Has numbers that neither learn nor are kept, and are others each time."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config, torch.tanh)
        self.factor = torch.rand(config.emb_dim)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.factor)


class KeptNumbers(RandomNumbers):
    """Keeps them as a parameter."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config)
        self.factor: Tensor = nn.Parameter(self.factor, requires_grad=False)


def test_what_no_checkpoint_has_and_nobody_can_make_again_is_refused(tmp_path: Path) -> None:
    own = {"random": RandomNumbers, "kept": KeptNumbers}
    parts = replace(PARTS, feed_forwards={**PARTS.feed_forwards, **own})
    config = own_gpt("norm").config.replace(norm="layernorm", vocab_size=TOKENIZER.vocab_size)
    random = GPT(config.replace(feed_forward="random"), parts=parts)
    said = r"blocks\.0\.ffn\.factor is no parameter, .* otherwise each time"
    with pytest.raises(UsageError, match=said):
        trained(random, run=tmp_path / "mine")
    with pytest.raises(UsageError, match=said):
        save(random, TOKENIZER, tmp_path / "mine")
    kept = GPT(config.replace(feed_forward="kept"), parts=parts)
    trained(kept, run=tmp_path / "kept")
    loaded = load(tmp_path / "kept", parts=parts).model
    for first, second in zip(kept.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(first, second)


def test_shared_weights_are_shared_when_loaded(tmp_path: Path) -> None:
    saved = made("shared")
    loaded = load(save(saved, TOKENIZER, tmp_path / "mine"), parts=OWN).model
    blocks: Any = loaded.blocks
    assert blocks[0].ffn.up.weight is blocks[1].ffn.up.weight
    tokens = torch.randint(TOKENIZER.vocab_size, (2, 9))
    assert torch.equal(loaded(tokens), saved.eval()(tokens))


def test_several_processes_choose_for_it_and_look_for_what_it_leaves_unused() -> None:
    choices = choose(TrainConfig(device="cpu"), made("all").config, ranks=2)
    assert choices.config.shard == "off"
    assert choices.reasons["shard"] == "nobody can foresee what a part of your own keeps in memory"
    assert TrainStep(made("block")).may_leave_unused
    assert not TrainStep(GPT(own_gpt("norm").config.replace(norm="rmsnorm"))).may_leave_unused


@pytest.mark.parametrize("choice", ["all", "noise"])
def test_it_learns_the_same_with_checkpointed_activations(choice: str) -> None:
    assert trained(made(choice)) == trained(made(choice), checkpoint_activations="on")


def test_another_part_is_another_training(tmp_path: Path) -> None:
    trained(made("norm"), run=tmp_path / "mine")
    with pytest.raises(UsageError, match="norm was none, now layernorm"):
        trained(made("feed_forward"), run=tmp_path / "mine")


def test_the_plan_says_what_it_does_not_know(tmp_path: Path) -> None:
    trained(made("all"), run=tmp_path / "mine")
    told = RunFolder(tmp_path / "mine").read().as_table()
    assert told["plan"]["parameters"] == sum(p.numel() for p in made("all").parameters())
    assert told["plan"]["memory_unknown"] == ["activations"]
    assert not {"activations", "logits"} & told["plan"]["memory_mib"].keys()
    assert "flops_per_token" not in told["plan"]
    assert all("mfu" not in line for line in read_lines(tmp_path / "mine" / "metrics.jsonl"))


def test_what_memory_surely_has_no_room_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundup.plan.plan.available_memory", lambda: 1 << 20)
    with pytest.raises(UsageError, match=r"training needs at least .*activations \?\), but 1 MiB"):
        trained(made("all"))


@pytest.mark.parametrize("field", ["attention", "logit_softcap"])
def test_a_run_from_before_a_field_goes_on(tmp_path: Path, field: str) -> None:
    usual = GPT(own_gpt("norm").config.replace(norm="rmsnorm", vocab_size=TOKENIZER.vocab_size))
    with pytest.raises(KilledError):
        trained(usual, run=tmp_path / "mine", listeners=[Killed()])
    manifest = tmp_path / "mine" / "run.toml"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(line for line in lines if not line.startswith(f"{field} = ")))
    with pytest.warns(UserWarning, match="goes on from step 2"):
        trained(GPT(usual.config), run=tmp_path / "mine")


def test_the_usual_choice_of_a_later_field_is_not_written(tmp_path: Path) -> None:
    usual = own_gpt("norm").config.replace(norm="rmsnorm", vocab_size=TOKENIZER.vocab_size)
    trained(GPT(usual), run=tmp_path / "usual")
    trained(made("attention"), run=tmp_path / "other")
    assert "\nattention = " not in (tmp_path / "usual" / "run.toml").read_text()
    assert (tmp_path / "other" / "run.toml").read_text().count('\nattention = "scaled"') == 2
