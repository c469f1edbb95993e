"""Training adapters beside a run that is there: what is kept, and how it goes on."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup import GPT, TrainConfig, load, save
from groundup.adapters import adapter_shapes, attach
from groundup.base.errors import ConfigError, RunError, UsageError
from groundup.config import build, preset
from groundup.generate.quantize import quantize_run
from groundup.optim.optimizer import build_optimizer
from groundup.runs import RunFolder, read_lines
from groundup.runs.base import base_of
from groundup.runs.checkpoint import list_checkpoints, newest_intact
from groundup.train import TrainRequest, train, train_run
from groundup.train.choices import choose
from groundup.train.replay import recorded_job
from groundup.train.request import recorded_request
from groundup.weights import export_model, import_model
from tests.processes import starting
from tests.texts import text_file
from tests.train.test_from import evaluated, first_loss, go_on, learnt
from tests.train.test_run import StopAt, assert_same_bits, quiet, request

METHODS = ("lora", "dora")


def beside(folder: Path, base: Path, method: str = "lora", **changes: Any) -> TrainRequest:
    return go_on(folder, base, method=method, lora_rank=4, lora_alpha=8.0, **changes)


def kept_names(run: Path) -> set[str]:
    checkpoint, _ = newest_intact(run / "checkpoints")
    assert checkpoint is not None
    return set(checkpoint.model_tensors())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copied where it is changed."""
    return learnt(tmp_path_factory.mktemp("learnt")).folder.path


@pytest.mark.parametrize("method", METHODS)
def test_it_begins_with_the_loss_of_its_base_and_keeps_adapters_only(
    tmp_path: Path, base: Path, method: str
) -> None:
    done = train_run(beside(tmp_path, base, method, steps=20), quiet())
    run, before = done.folder.path, load(base)
    tables = done.folder.read().as_table()
    assert first_loss(done) == pytest.approx(evaluated(before, tables), abs=1e-6)
    assert done.progress.val_loss is not None
    assert done.progress.val_loss < first_loss(done)
    shapes = adapter_shapes(before.model.config, method, 4)
    assert kept_names(run) == set(shapes)
    assert tables["adapter"] == {"method": method, "rank": 4, "alpha": 8.0}
    assert tables["job"]["tensors"] == {name: list(shape) for name, shape in shapes.items()}
    after = load(run, "latest")
    assert after.extra == {}
    assert evaluated(after, tables) == pytest.approx(done.progress.val_loss, abs=1e-5)
    adapted = {name.rpartition(".")[0] + ".weight" for name in shapes}
    for name, parameter in after.model.named_parameters():
        same = torch.equal(parameter, before.model.get_parameter(name))
        assert same is (name not in adapted), name


def test_a_resumed_one_equals_an_uninterrupted_one(tmp_path: Path, base: Path) -> None:
    whole = train_run(beside(tmp_path, base), quiet())
    kept = RunFolder(whole.folder.path.rename(tmp_path / "whole"))
    asked = beside(tmp_path, base)
    stopped = train_run(asked, StopAt(9))
    assert stopped.signal is not None
    resumed = train_run(recorded_request(stopped.folder), quiet())
    assert_same_bits(dataclasses.replace(whole, folder=kept), resumed)


def test_it_goes_on_beside_the_checkpoint_that_it_began_with(tmp_path: Path, base: Path) -> None:
    own = Path(shutil.copytree(base, tmp_path / "runs" / "base"))
    asked = beside(tmp_path, own)
    stopped = train_run(asked, StopAt(9))
    begun = stopped.folder.read().base
    assert begun is not None
    again = dataclasses.replace(request(tmp_path, keep=9), run="base", extend=40)
    train_run(again, quiet())
    assert len(list_checkpoints(own / "checkpoints")) > 1
    assert base_of(stopped.folder, own) == (begun, None)
    assert recorded_job(stopped.folder).base == begun
    assert train_run(asked, quiet()).progress.finished
    shutil.rmtree(own / "checkpoints" / f"step-{begun.step:08d}")
    for use in (lambda: load(stopped.folder.path), lambda: recorded_job(stopped.folder).model(1)):
        with pytest.raises(RunError, match=rf"learnt on top of step {begun.step} of .*is gone"):
            use()


def test_adapters_may_be_learnt_upon_adapters(tmp_path: Path, base: Path) -> None:
    first = train_run(beside(tmp_path, base, steps=5), quiet()).folder
    second = train_run(beside(tmp_path, first.path, "dora", steps=5), quiet())
    tables = second.folder.read().as_table()
    assert first_loss(second) == pytest.approx(evaluated(load(first.path), tables), abs=1e-5)
    third = train_run(go_on(tmp_path, second.folder.path, steps=1), quiet())
    assert "base" not in third.folder.read().as_table()
    assert "token_embedding.weight" in kept_names(third.folder.path)


def test_what_knows_whole_models_takes_it_merged(tmp_path: Path, base: Path) -> None:
    run = train_run(beside(tmp_path, base, steps=5), quiet()).folder.path
    merged = load(run).model
    tokens = torch.arange(16)[None]
    logits = merged(tokens)
    export_model(run, tmp_path / "out", "safetensors")
    import_model(tmp_path / "out", tmp_path / "back")
    torch.testing.assert_close(load(tmp_path / "back").model(tokens), logits, rtol=0, atol=1e-6)
    saved = save(merged, load(run).tokenizer, tmp_path / "saved")
    torch.testing.assert_close(load(saved).model(tokens), logits, rtol=0, atol=0)
    done = quantize_run(run, tmp_path / "int8", 8, lambda loaded: 1.0)
    sizes = sum(p.numel() * 4 for p in merged.parameters())
    assert done.size_bytes == sizes > done.quantized_bytes
    close = load(tmp_path / "int8").model(tokens)
    assert float((close - logits).abs().max()) < 0.1 * float(logits.abs().max())


def test_another_base_in_its_place_is_refused(tmp_path: Path, base: Path) -> None:
    own = Path(shutil.copytree(base, tmp_path / "runs" / "base"))
    asked = beside(tmp_path, own, steps=3)
    run = train_run(asked, quiet()).folder.path
    shutil.rmtree(own)
    train_run(dataclasses.replace(request(tmp_path, seed=9), run="base"), quiet())
    with pytest.raises(RunError, match=r"has other weights by now|is gone"):
        load(run)


@pytest.mark.parametrize("change", [{"rank": 8}, {"rank": 0}, {"method": "other"}])
def test_a_record_that_does_not_fit_its_adapters_is_refused(
    tmp_path: Path, base: Path, change: dict[str, Any]
) -> None:
    folder = train_run(beside(tmp_path, base, steps=1), quiet()).folder
    manifest = folder.read()
    assert manifest.adapter is not None
    folder.write(
        dataclasses.replace(manifest, adapter=dataclasses.replace(manifest.adapter, **change))
    )
    with pytest.raises(RunError, match=r"\[adapter\]"):
        load(folder.path)


def test_there_must_be_something_to_adapt(tmp_path: Path) -> None:
    asked = request(tmp_path, method="lora")
    for refused in (asked.check, lambda: train_run(asked, quiet())):
        with pytest.raises(UsageError, match="method = lora: a new model has learnt nothing yet"):
            refused()


def test_fewer_learned_positions_are_refused(tmp_path: Path) -> None:
    base = learnt(tmp_path, "gpt2-pico").folder.path
    with pytest.raises(UsageError, match="adapters leave the 16 learned positions"):
        beside(tmp_path, base, context_length=8).check()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"method": "qlora"}, "method = 'qlora': expected one of full, lora, dora"),
        ({"method": "lora", "lora_rank": 0}, "lora_rank = 0: expected 1 or more"),
        ({"method": "lora", "lora_alpha": 0.0}, "lora_alpha = 0.0: expected a positive number"),
        ({"lora_rank": 8}, "lora_rank = 8: expected method = lora or dora beside it"),
        ({"method": "dora", "shard": "on"}, "shard = 'on': expected off or auto with method"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build(TrainConfig, settings)


def test_in_python_the_model_has_its_adapters_before(base: Path) -> None:
    loaded = load(base)
    with pytest.raises(UsageError, match=r"adapters\.attach"):
        train(loaded.model, loaded.tokenizer, "a story " * 99, method="lora", show=False)
    attach(loaded.model, "lora", 4, 8.0, 1)
    metrics = train(loaded.model, loaded.tokenizer, "a story " * 99, steps=3, show=False)
    assert metrics[-1]["step"] == 3


def test_adapters_take_ten_times_the_rate_by_adamw_and_do_not_decay() -> None:
    config = preset("pico")
    full = choose(TrainConfig(device="cpu", optimizer="adamw"), config, 0.1)
    for optimizer in ("adamw", "muon"):
        asked = TrainConfig(device="cpu", method="dora", optimizer=optimizer)
        found = choose(asked, config, 0.1)
        assert full.config.learning_rate is not None
        assert found.config.learning_rate == pytest.approx(10 * full.config.learning_rate)
        assert found.reasons["learning_rate"].endswith("times 10 as only adapters learn")
        model = GPT(config)
        attach(model, "dora", 4, 8.0, 1)
        groups = build_optimizer(model, found.config).param_groups
        assert [(group["rule"], group["weight_decay"]) for group in groups] == [("adamw", 0.0)]


@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"checkpoint_activations": "on"}])
def test_it_learns_in_other_ways_of_computing(
    tmp_path: Path, base: Path, settings: dict[str, Any]
) -> None:
    rows = []
    for name, changes in (("plain", {}), ("other", settings)):
        asked = dataclasses.replace(beside(tmp_path, base, "dora", steps=5, **changes), run=name)
        done = train_run(asked, quiet())
        rows.append([r["train_loss"] for r in read_lines(done.folder.metrics) if "train_loss" in r])
    assert rows[0] == pytest.approx(rows[1], rel=0.01)


def test_two_processes_share_it(tmp_path: Path, base: Path) -> None:
    shutil.copytree(base, tmp_path / "runs" / "base")
    text_file(tmp_path)
    words = ["train", "story.txt", "--from", "runs/base", "--method", "dora", "--steps", "6"]
    settings = {"batch_size": 4, "threads": 1, "sample_tokens": 0, "precision": "fp32"}
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    for name, ranks in (("shared", 2), ("alone", 1)):
        starting.Training(tmp_path, [*words, "--run", name], ranks=ranks).finish()
    shared, alone = (RunFolder(tmp_path / "runs" / name) for name in ("shared", "alone"))
    assert starting.losses(shared) == pytest.approx(starting.losses(alone), rel=1e-5)
    assert kept_names(shared.path) == kept_names(alone.path)
