"""Experts in 4 bits, as gpt-oss is published: the numbers that `transformers` makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from groundup.base.errors import RunError
from groundup.weights.hf import read_hf
from tests.weights.hf.models import saved

NAME = "model.layers.0.mlp.experts.down_proj"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose first down projections, (3, 64, 32), are packed."""
    saved("gpt_oss", tmp_path, intermediate_size=64)
    tensors = load_file(tmp_path / "model.safetensors")
    n_experts, inner, width = tensors.pop(NAME).shape
    generator = torch.Generator().manual_seed(0)
    shape = (n_experts, width, inner // 32)
    blocks = torch.randint(256, (*shape, 16), generator=generator, dtype=torch.uint8)
    scales = torch.randint(110, 140, shape, generator=generator, dtype=torch.uint8)
    save_file({**tensors, f"{NAME}_blocks": blocks, f"{NAME}_scales": scales},
              tmp_path / "model.safetensors", {"format": "pt"})  # fmt: skip
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_packed_experts_are_read_as_they_are_meant(folder: Path) -> None:
    found = read_hf(folder).tensors
    packed = load_file(folder / "model.safetensors")
    theirs = convert_moe_packed_tensors(packed[f"{NAME}_blocks"], packed[f"{NAME}_scales"])
    for i, expert in enumerate(theirs):
        ours = found[f"blocks.0.ffn.experts.{i}.down.weight"]
        assert ours.dtype == torch.bfloat16
        assert torch.equal(ours.read(), expert.t())


def test_without_its_scales_it_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[f"{NAME}_scales"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match=f"{NAME}_blocks has no _scales that fit"):
        read_hf(folder)


def test_scales_of_nothing_and_a_tensor_that_is_there_twice_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    alone = {**tensors, "model.layers.1.mlp.experts.down_proj_scales": torch.zeros(3)}
    twice = {**tensors, NAME: torch.zeros(3, 64, 32)}
    for wrong, said in ((alone, "unexpected .*down_proj_scales"), (twice, "packed and not")):
        save_file(wrong, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(RunError, match=said):
            read_hf(folder)


def test_another_packing_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"quantization_config = .*: expected null, or quant_method"):
        read_hf(folder)
