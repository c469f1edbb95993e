"""`train()` in Python: what it keeps in memory, what in a folder, and how it goes on."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup import GPT, CharTokenizer, GPTConfig, load, save
from groundup.base.errors import ConfigError, UsageError
from groundup.runs import read_lines
from groundup.train import Listener, train
from groundup.train.api import REMEDY
from groundup.train.pretraining import steps_of

TEXT = "the cat sat on the mat. the dog sat on the log. " * 20
TOKENIZER = CharTokenizer.train([TEXT])
CONFIG = GPTConfig(
    vocab_size=TOKENIZER.vocab_size, context_length=16, emb_dim=32, n_heads=2, n_layers=1
)
SHORT: dict[str, Any] = {"steps": 6, "save_every": 2, "eval_every": 3, "sample_tokens": 3}


def new() -> GPT:
    torch.manual_seed(0)
    return GPT(CONFIG)


def trained(model: GPT, **settings: Any) -> list[dict[str, Any]]:
    return train(model, TOKENIZER, TEXT, show=False, **{**SHORT, **settings})


def same(first: GPT, second: GPT) -> bool:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def figures(metrics: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(line["step"], line.get("train_loss"), line.get("val_loss")) for line in metrics]


class KilledError(Exception):
    pass


class KilledAt(Listener):
    def __init__(self, step: int) -> None:
        self.step = step

    def metrics(self, record: dict[str, Any]) -> None:
        if record["step"] == self.step:
            raise KilledError


def test_a_mixture_s_routers_are_left_as_they_were() -> None:
    model = GPT(replace(CONFIG, n_experts=4, n_active_experts=2))
    hooked: list[int] = []

    class Counts(Listener):
        def metrics(self, record: dict[str, Any]) -> None:
            hooked.append(hooks())

    def hooks() -> int:
        return sum(len(module._forward_hooks) for module in model.modules())

    trained(model, balance_loss=0.1, listeners=[Counts()])
    assert hooked[0] > hooks() == 0


def test_a_folder_changes_nothing_and_holds_everything(tmp_path: Path) -> None:
    kept, unkept = new(), new()
    run = tmp_path / "runs" / "mine"
    metrics = trained(kept, run=run)
    assert figures(metrics) == figures(trained(unkept))
    assert same(kept, unkept)
    assert figures(list(read_lines(run / "metrics.jsonl"))) == figures(metrics)
    names = {"run.toml", "tokenizer.json", "metrics.jsonl", "samples.jsonl", "report.html"}
    assert names < {path.name for path in run.iterdir()}
    assert same(load(run, checkpoint="latest").model, kept)
    assert load(run).tokenizer.fingerprint == TOKENIZER.fingerprint


@pytest.mark.parametrize("step", [1, 5])
def test_the_same_call_goes_on_where_it_was_killed(tmp_path: Path, step: int) -> None:
    whole = new()
    metrics = trained(whole)
    with pytest.raises(KilledError):
        trained(new(), run=tmp_path / "mine", listeners=[KilledAt(step)])
    again = GPT(CONFIG)  # other weights, as of another process without a seed
    if step == 1:  # killed before its first checkpoint: it begins anew
        again = new()
        resumed = trained(again, run=tmp_path / "mine")
    else:
        with pytest.warns(UserWarning, match="goes on from step 4 in .*mine"):
            resumed = trained(again, run=tmp_path / "mine")
    assert figures(resumed) == figures(metrics)
    assert same(again, whole)


def test_a_model_of_which_a_part_learns_is_kept_whole(tmp_path: Path) -> None:
    model, again = new(), new()
    for one in (model, again):
        one.blocks.requires_grad_(False)
    before = [parameter.clone() for parameter in model.blocks.parameters()]
    with pytest.raises(KilledError):
        trained(model, run=tmp_path / "mine", listeners=[KilledAt(5)])
    with pytest.warns(UserWarning, match="goes on from step 4"):
        trained(again, run=tmp_path / "mine")
    assert same(load(tmp_path / "mine", "latest").model, again)
    assert all(map(torch.equal, before, again.blocks.parameters()))
    assert not same(again, new())


def test_a_stopped_training_is_reported_as_interrupted(tmp_path: Path) -> None:
    class Stops(Listener):
        def metrics(self, record: dict[str, Any]) -> None:
            if record["step"] == 3:
                signal.raise_signal(signal.SIGTERM)

    metrics = trained(new(), run=tmp_path / "mine", listeners=[Stops()])
    assert metrics[-1]["step"] == 3
    assert "interrupted</span>" in (tmp_path / "mine" / "report.html").read_text()


def test_a_finished_run_gives_its_weights_and_metrics_back(tmp_path: Path) -> None:
    first, again = new(), GPT(CONFIG)
    metrics = trained(first, run=tmp_path / "mine")
    with pytest.warns(UserWarning, match="goes on from step 6"):
        assert figures(trained(again, run=tmp_path / "mine")) == figures(metrics)
    assert same(first, again)
    assert not again.training


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": 8}, "steps was 6, now 8"),
        ({"learning_rate": 0.5}, "learning_rate was not set, now 0.5"),
        ({"text": TEXT + "more"}, "fingerprint was"),
        ({"model": GPT(CONFIG.replace(drop_rate=0.1))}, "drop_rate was 0.0, now 0.1"),
    ],
)
def test_another_call_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    trained(new(), run=tmp_path / "mine")
    given = {"model": new(), "text": TEXT, **SHORT, **change}
    if "more" in given["text"]:
        given["text"] = given["text"].replace("more", "the")
    with pytest.raises(UsageError, match=says) as caught:
        train(tokenizer=TOKENIZER, run=tmp_path / "mine", show=False, **given)
    assert str(caught.value).endswith(REMEDY)


def test_what_is_no_run_of_train_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("kept")
    with pytest.raises(UsageError, match="is there already"):
        trained(new(), run=tmp_path / "notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["a.txt"]
    with pytest.raises(UsageError, match=r"train\(\) did not make"):
        trained(new(), run=save(new(), TOKENIZER, tmp_path / "saved"))


def test_a_model_that_load_could_not_make_is_not_kept(tmp_path: Path) -> None:
    model = new()
    model.blocks[0].ffn = torch.nn.Identity()
    with pytest.raises(UsageError, match="not what its config makes"):
        trained(model, run=tmp_path / "mine")
    assert not list(tmp_path.iterdir())
    trained(model)  # in memory it may be whatever it is


def test_listeners_hear_what_is_returned() -> None:
    class Heard(Listener):
        def __init__(self) -> None:
            self.records: list[dict[str, Any]] = []
            self.samples: list[int] = []

        def metrics(self, record: dict[str, Any]) -> None:
            self.records.append(record)

        def sample(self, step: int, prompt: str, text: str) -> None:
            self.samples.append(step)

    heard = Heard()
    assert trained(new(), listeners=[heard]) == heard.records
    assert heard.samples[-1] == 6


@pytest.mark.parametrize("epochs", [0.5, 2])
def test_epochs_count_passes_over_the_training_tokens(epochs: float) -> None:
    settings: dict[str, Any] = {
        "batch_size": 4,
        "accumulation": 2,
        "eval_every": 100,
        "sample_tokens": 0,
    }
    metrics = train(new(), TOKENIZER, TEXT[:400], epochs=epochs, show=False, **settings)
    n_train = 360
    steps = max(line["step"] for line in metrics)
    assert steps == math.ceil(epochs * n_train / (4 * 2 * 16))
    assert steps == steps_of(epochs, n_train, 4 * 2 * 16)


def test_a_loaded_model_learns_on(tmp_path: Path) -> None:
    run = load(save(new(), TOKENIZER, tmp_path / "base"))
    before = [parameter.clone() for parameter in run.model.parameters()]
    train(run.model, run.tokenizer, TEXT, show=False, **SHORT)
    assert not all(map(torch.equal, before, run.model.parameters()))
    assert same(load(tmp_path / "base").model, new())  # the file is as it was


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("listener", "listeners"),
        ("callbacks", "listeners"),
        ("verbose", "show"),
        ("epoch", "epochs"),
        ("output_dir", "run"),
        ("lr", "learning_rate"),
    ],
)
def test_an_argument_of_another_name_is_told_its_own(word: str, ours: str) -> None:
    argument: dict[str, Any] = {word: 1}
    with pytest.raises(ConfigError, match=f"unknown argument '{word}'; did you mean '{ours}'"):
        train(new(), TOKENIZER, TEXT, **argument)


@pytest.mark.parametrize("run", [None, "mine"])
def test_what_memory_has_no_room_for_is_refused(tmp_path: Path, run: str | None) -> None:
    where = None if run is None else tmp_path / run
    with pytest.raises(UsageError, match=r"training needs .* MiB are available"):
        train(new(), TOKENIZER, TEXT, batch_size=10**9, steps=1, device="cpu", run=where)
