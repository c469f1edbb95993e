"""Runs with parts that groundup does not have: loaded with them, told of without them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from groundup import PARTS, load, save
from groundup.base.errors import ConfigError, RunError, UsageError
from groundup.base.files import write_json
from groundup.generate import generate
from groundup.generate.quantize import quantize_run
from groundup.model import shapes_of
from groundup.report import write_report
from groundup.report.compare import compare_runs
from groundup.runs import RunFolder
from groundup.runs.base import base_table
from groundup.runs.checkpoint import MODEL, STATE, save_files, write_tensors
from groundup.runs.manifest import JobTable
from groundup.runs.own import sealed
from groundup.runs.record import read_run
from groundup.tokenizer import ByteTokenizer
from groundup.train.replay import replay
from groundup.train.request import TrainRequest
from groundup.weights import export_model
from tests.model.helpers import randomise
from tests.model.own_parts import CHOICES, OWN, NoNorm, own_gpt

TOKENS = torch.arange(16)[None]


def saved(folder: Path, choice: str = "all") -> Path:
    model = own_gpt(choice)
    randomise(model)
    return save(model, ByteTokenizer(), folder / "mine")


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_loaded_gives_equal_logits(tmp_path: Path, choice: str, tied: bool) -> None:
    model = own_gpt(choice, tie_embeddings=tied)
    randomise(model)
    path = save(model, ByteTokenizer(), tmp_path / "mine")
    before = torch.get_rng_state()
    run = load(path, parts=OWN)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(run.model(TOKENS), model(TOKENS))
    assert generate(run.model, run.tokenizer, "a", max_tokens=5, seed=1)


@pytest.mark.parametrize("choice", CHOICES)
def test_without_its_parts_it_says_how_it_is_loaded(tmp_path: Path, choice: str) -> None:
    path = saved(tmp_path, choice)
    with pytest.raises(RunError) as caught:
        load(path)
    said = str(caught.value)
    assert "\n" not in said
    assert f"groundup.load({str(path)!r}, parts=replace(PARTS, " in said
    for field, name in CHOICES[choice].items():
        if not field.startswith("n_"):
            assert f"{field} = {name!r}" in said
            assert f"{name!r}: ..." in said


def test_tables_that_lack_the_part_too_are_told_so(tmp_path: Path) -> None:
    others = replace(PARTS, norms={**PARTS.norms, "another": NoNorm})
    with pytest.raises(ConfigError, match=r"norm = .none.: expected one of layernorm, .*, another"):
        load(saved(tmp_path, "norm"), parts=others)


@pytest.mark.parametrize(
    "use",
    [
        lambda run: export_model(run, run.parent / "out"),
        lambda run: quantize_run(run, run.parent / "out", 8, lambda loaded: 1.0),
        replay,
        lambda run: TrainRequest(base=run).check(),
    ],
)
def test_what_cannot_be_done_names_the_part(tmp_path: Path, use: Callable[[Path], object]) -> None:
    path = saved(tmp_path, "norm")
    with pytest.raises(RunError, match=r"norm = 'none', which groundup does not have"):
        use(path)
    assert not (tmp_path / "out").exists()


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path, other = saved(tmp_path), saved(tmp_path / "other", "norm")
    shutil.copy(path / "run.toml", other / "run.toml")
    with pytest.raises(RunError, match=r"missing blocks\.0\.attn\.factor; .*memory"):
        load(other, parts=OWN)


def test_a_model_of_a_million_layers_is_refused_at_once(tmp_path: Path) -> None:
    path = saved(tmp_path)
    text = (path / "run.toml").read_text()
    (path / "run.toml").write_text(text.replace("n_layers = 2\n", "n_layers = 1000000\n"))
    with pytest.raises(RunError, match="26 tensors are too few for 1,000,000 layers"):
        load(path, parts=OWN)


def test_a_part_that_was_swapped_is_named(tmp_path: Path) -> None:
    model = own_gpt("all")
    model.blocks[0].memory = nn.Linear(32, 32, bias=False)
    with pytest.raises(UsageError, match=r"blocks\.0\.memory\.weight is \(32, 32\), expected"):
        save(model, ByteTokenizer(), tmp_path / "mine")


def test_what_no_checkpoint_would_keep_is_refused(tmp_path: Path) -> None:
    model = own_gpt("all")
    model.final_norm.register_buffer("counted", torch.zeros(1))
    with pytest.raises(UsageError, match=r"final_norm\.counted is a buffer"):
        save(model, ByteTokenizer(), tmp_path / "mine")


def test_it_is_told_of_from_its_checkpoint(tmp_path: Path) -> None:
    path, usual = saved(tmp_path), saved(tmp_path / "norms", "norm")
    record = read_run(path)
    shapes = list(shapes_of(own_gpt("all")))
    assert record.parameters == sum(parameter.size for parameter in shapes)
    assert record.stored is not None
    assert sorted(record.stored) == sorted(shapes)
    comparison = compare_runs(path, usual)
    assert comparison.outcomes[0].parameters == record.parameters
    assert ("norm_order", "memory") in [
        (d.key.removeprefix("model."), d.values[0]) for d in comparison.differences
    ]
    page = write_report(path).read_text()
    for word in (
        "none",
        "<small>scaled; the",
        "32 → 32 by squash",
        "the block is &#x27;memory&#x27;",
    ):
        assert word in page
    assert f"<b>{record.parameters:,}</b>" in page


def test_before_its_first_checkpoint_it_is_told_of_as_planned(tmp_path: Path) -> None:
    path = saved(tmp_path)
    shutil.rmtree(path / "checkpoints")
    assert read_run(path).parameters == 0
    assert "Not known before the first checkpoint" in write_report(path).read_text()
    with (path / "run.toml").open("a") as file:
        file.write("\n[plan]\nparameters = 1234\n")
    assert read_run(path).parameters == 1234


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    path = saved(tmp_path)
    first = path / "checkpoints" / "step-00000000"
    shutil.copytree(first, path / "checkpoints" / "step-00000001")
    (path / "checkpoints" / "step-00000001" / "model.safetensors").write_bytes(b"no tensors")
    assert read_run(path).parameters == sum(p.size for p in shapes_of(own_gpt("all")))


def test_telling_of_it_needs_no_torch(tmp_path: Path) -> None:
    path = saved(tmp_path)
    code = (
        "import sys; from pathlib import Path; from groundup.report import write_report; "
        f"write_report(Path({str(path)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def learnt_on(base: Path, path: Path) -> dict[str, torch.Tensor]:
    """Write a run that learnt two matrices of `base`, and a head; return what it should hold."""
    model = load(base, parts=OWN).model
    whole = {name: parameter.detach() for name, parameter in model.named_parameters()}
    learnt = {name: whole[name] + 1 for name in ("blocks.0.ffn.up.weight", "lm_head.weight")}
    kept = {**learnt, "head.weight": torch.ones(3, 32)}
    shutil.copytree(base, path)
    shutil.rmtree(path / "checkpoints")
    folder = RunFolder(path)
    files: dict[str, Callable[[Path], None]] = {
        MODEL: partial(write_tensors, kept),
        STATE: lambda path: write_json(path, {"step": 0}),
    }
    save_files(folder.checkpoints, 0, files)
    job = JobTable(kind="other", tensors={"head.weight": [3, 32]})
    folder.write(sealed(replace(folder.read(), job=job, base=base_table(base))))
    return whole | learnt


def test_a_run_on_a_base_is_told_of_whole_and_loaded_whole(tmp_path: Path) -> None:
    base, path = saved(tmp_path), tmp_path / "learnt"
    expected = learnt_on(base, path)
    run = load(path, parts=OWN)
    assert run.extra.keys() == {"head.weight"}
    for name, parameter in run.model.named_parameters():
        assert torch.equal(parameter, expected[name]), name
    told = read_run(path)
    assert told.stored == tuple(sorted(shapes_of(run.model)))
    assert told.parameters == sum(tensor.numel() for tensor in expected.values())
    assert write_report(path).is_file()
    shutil.rmtree(base)
    assert read_run(path).stored == ()
    assert write_report(path).is_file()
