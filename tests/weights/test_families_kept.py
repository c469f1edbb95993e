"""What is trained on from an import goes out as the family that came in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.generate.quantize import quantize_run
from groundup.runs.merge import merge_run
from groundup.tokenizer import ByteTokenizer
from groundup.train import train_run
from groundup.weights import export_adapter, export_model, import_adapter, import_model
from groundup.weights.hf.families import FAMILIES
from tests.finetune import answering, making
from tests.train.test_from import go_on
from tests.train.test_run import quiet
from tests.weights.hf.models import saved

SIZES = {"vocab_size": 257, "max_position_embeddings": 128}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    # Whose models are Llamas by other names, too: the first class that fits would be Llama's.
    saved("phi3", folder / "phi3", pad_token_id=None, **SIZES)
    runs = folder / "runs"
    import_model(folder / "phi3", runs / "base", tokenizer=ByteTokenizer())
    answering.with_dialogues(runs)
    making.with_records(runs)
    return folder


def trained(folder: Path) -> Path:
    asked = go_on(folder, folder / "runs" / "base", steps=1, context_length=16)
    return train_run(asked, quiet()).folder.path


def twice(folder: Path) -> Path:
    asked = go_on(folder, trained(folder), steps=1)
    return train_run(dataclasses.replace(asked, run="twice"), quiet()).folder.path


def instructed(folder: Path) -> Path:
    answering.train(folder / "runs" / "whole", steps=1)  # its vocabulary grows
    return folder / "runs" / "whole"


def adapted(folder: Path) -> Path:
    making.train(folder / "runs" / "lora", steps=1, pooling="last", method="lora")
    return folder / "runs" / "lora"


def merged(folder: Path) -> Path:
    making.train(folder / "runs" / "dora", steps=1, pooling="last", method="dora")
    return merge_run(folder / "runs" / "dora", folder / "runs" / "merged").path


def quantized(folder: Path) -> Path:
    return quantize_run(trained(folder), folder / "runs" / "small", 8, lambda model: 1.0).path


def beside(folder: Path) -> Path:
    asked = go_on(folder, folder / "runs" / "base", steps=1, method="lora")
    run = train_run(dataclasses.replace(asked, run="thin"), quiet()).folder.path
    out = export_adapter(run, folder / "peft").path
    return import_adapter(out, folder / "runs" / "beside", folder / "runs" / "base").path


def own_names(folder: Path) -> Path:
    own = export_model(folder / "runs" / "base", folder / "own", "safetensors").path
    return import_model(own, folder / "runs" / "again").path


@pytest.mark.parametrize(
    "make", [trained, twice, instructed, adapted, merged, quantized, beside, own_names]
)
def test_a_descendant_goes_out_as_the_family_that_came_in(
    make: Callable[[Path], Path], folder: Path, tmp_path: Path
) -> None:
    done = export_model(make(folder), tmp_path / "hf")
    written = json.loads((tmp_path / "hf" / "config.json").read_text())
    phi = FAMILIES["phi3"]
    assert written["model_type"] == "phi3"
    assert written["architectures"][0] in (phi.architecture, phi.classifier)
    assert done.difference is not None


def test_what_its_family_cannot_express_goes_out_as_another(folder: Path, tmp_path: Path) -> None:
    """Granite's factors are in the weights, so that what comes of it is a Llama."""
    saved("granite", tmp_path / "granite", **SIZES)
    import_model(tmp_path / "granite", tmp_path / "runs" / "base", tokenizer=ByteTokenizer())
    export_model(trained(tmp_path), tmp_path / "hf")
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["model_type"] == "llama"
