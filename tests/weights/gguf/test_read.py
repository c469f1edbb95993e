"""Models read from GGUF files that the `gguf` package wrote, in llama.cpp's names and layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup import GPT
from groundup.base.errors import GroundupError, RunError, UsageError
from groundup.weights.equivalence import differences
from groundup.weights.gguf import read_gguf, write_gguf
from groundup.weights.pretrained import Pretrained
from tests.weights.gguf.by_hand import (
    FAMILIES,
    factors,
    interleaved,
    made,
    numbers_of,
    save,
    small,
    tensors_of,
)
from tests.weights.gguf.making import byte_level, exported, model_of


def check(found: Pretrained, model: GPT) -> None:
    assert differences(model.config, found.config) == {}
    parameters = dict(model.named_parameters())
    assert list(found.tensors) == list(parameters)
    for name, stored in found.tensors.items():
        tensor = stored.read()
        assert (stored.shape, stored.dtype) == (tuple(tensor.shape), tensor.dtype)
        if "norm" in name:
            assert torch.allclose(tensor, parameters[name], rtol=0, atol=2e-7)
        else:
            assert torch.equal(tensor, parameters[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_llama_cpps_names_and_layouts_are_read(tmp_path: Path, family: str) -> None:
    model = small(family)
    found = read_gguf(made(tmp_path / "a.gguf", family, model))
    check(found, model)
    assert found.notices == ["the file holds no tokenizer"]
    assert (found.source.format, found.source.family) == ("gguf", FAMILIES[family])


@pytest.mark.parametrize(
    ("head_dim", "factor", "context"), [(64, 32.0, 8192), (128, 8.0, 8192), (64, 4.0, 4096)]
)
@pytest.mark.parametrize("named", [True, False])
def test_llama3s_scaling_is_found_from_its_factors(
    tmp_path: Path, head_dim: int, factor: float, context: int, named: bool
) -> None:
    model = model_of("llama", 50, head_dim=head_dim, rope_base=500000.0, rope_factor=factor,
                     rope_original_context=context)  # fmt: skip
    changes = {"attention.key_length": head_dim, "attention.value_length": head_dim}
    if named:
        changes["rope.scaling.original_context_length"] = context
    found = read_gguf(made(tmp_path / "a.gguf", "llama", model, **changes))
    assert found.config == model.config


def test_factors_of_another_scaling_are_refused(tmp_path: Path) -> None:
    model = small("llama")
    tensors = tensors_of(model, "llama") | {"rope_freqs.weight": torch.tensor([1.0, 7, 2, 9])}
    path = save(tmp_path / "a.gguf", "llama", numbers_of(model, "llama"), tensors)
    with pytest.raises(RunError, match=r"rope_freqs\.weight holds factors"):
        read_gguf(path)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_1"])
def test_plain_kinds_stay_and_blocks_become_fp32(tmp_path: Path, kind: str) -> None:
    model = model_of("llama", 64, emb_dim=32, ffn_dim=64, rope_scaling="none")
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    for key, value in numbers_of(model, "llama").items():
        (writer.add_uint32 if type(value) is int else writer.add_float32)(key, value)
    number = GGMLQuantizationType[kind]
    tensors = tensors_of(model, "llama")
    for name, tensor in tensors.items():
        wanted = number if tensor.dim() > 1 else GGMLQuantizationType.F32
        writer.add_tensor(name, quants.quantize(tensor.numpy(), wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = read_gguf(tmp_path / "a.gguf").tensors["blocks.1.attn.key.weight"]
    plain = {"F16": torch.float16, "BF16": torch.bfloat16}
    assert found.dtype == found.read().dtype == plain.get(kind, torch.float32)
    packed = quants.quantize(tensors["blk.1.attn_k.weight"].numpy(), number)
    theirs = torch.from_numpy(quants.dequantize(packed, number))
    assert torch.equal(interleaved(found.read().float(), model.config.n_kv_heads), theirs)


def test_all_that_is_wrong_with_tensors_is_listed_together(tmp_path: Path) -> None:
    model = small("llama")
    tensors = tensors_of(model, "llama")
    del tensors["blk.0.ffn_up.weight"], tensors["output_norm.weight"]
    tensors |= {"blk.1.ffn_down.weight": torch.zeros(3, 4), "surprise\n": torch.zeros(2)}
    tensors["rope_freqs.weight"] = torch.tensor(factors(model))
    numbers = numbers_of(model, "llama") | {"llama.rope.scaling.original_context_length": 12}
    path = save(tmp_path / "a.gguf", "llama", numbers, tensors)
    with pytest.raises(RunError) as caught:
        read_gguf(path)
    message = str(caught.value)
    for part in ("missing blk.0.ffn_up.weight", "missing output_norm.weight", "unexpected",
                 "surprise\\n", "blk.1.ffn_down.weight is (3, 4), expected (32, 40)"):  # fmt: skip
        assert part in message
    assert "\n" not in message


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "too many layers": ({"block_count": 500}, "block_count"),
    "too few layers": ({"block_count": 2}, "unexpected blk.2."),
    "no layers": ({"block_count": 0}, "n_layers"),
    "experts without end": ({"expert_count": 1 << 30, "expert_used_count": 1}, "expert_count"),
    "layers as text": ({"block_count": "3"}, "block_count: '3', expected one whole number"),
    "heads of each layer": ({"attention.head_count": [4, 4, 4]}, "head_count: a list"),
    "no heads": ({"attention.head_count": 0}, "n_heads"),
    "heads that do not divide": ({"attention.head_count_kv": 3}, "n_kv_heads"),
    "part of the head": ({"rope.dimension_count": 4}, "rope.dimension_count: 4"),
    "other values": ({"attention.value_length": 4}, "attention.value_length: 4"),
    "yarn": ({"rope.scaling.type": "yarn"}, "rope.scaling.type: 'yarn' is not known"),
    "both scalings": ({"rope.scaling.factor": 2.0}, "rope_freqs.weight"),
    "no epsilon": ({"attention.layer_norm_rms_epsilon": 0.0}, "norm_eps"),
    "an epsilon that is none": ({"attention.layer_norm_rms_epsilon": float("nan")}, "norm_eps"),
    "a vast model": ({"embedding_length": 1 << 31}, "emb_dim"),
    "another width": ({"feed_forward_length": 44}, "expected (44, 32)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_impossible_numbers_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    changes, expected = WRONG[name]
    model = small("llama")
    path = made(tmp_path / "a.gguf", "llama", model, **changes)
    with pytest.raises(GroundupError) as caught:
        read_gguf(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["context_length", "embedding_length", "attention.head_count"])
def test_absent_numbers_are_refused(tmp_path: Path, key: str) -> None:
    model = small("qwen2")
    numbers = numbers_of(model, "qwen2")
    del numbers[f"qwen2.{key}"]
    path = save(tmp_path / "a.gguf", "qwen2", numbers, tensors_of(model, "qwen2"))
    with pytest.raises(RunError, match=f"qwen2.{key}: is absent"):
        read_gguf(path)


def test_unknown_architectures_are_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gguf", "mamba", {}, {"x": torch.zeros(1)})
    with pytest.raises(RunError, match="architecture 'mamba' is not known, only gpt2, qwen2"):
        read_gguf(path)
    path = save(tmp_path / "c.gguf", "llama", {"llama.block_count": 1}, {"x": torch.zeros(1)})
    with pytest.raises(RunError, match=r"token_embd\.weight is missing"):
        read_gguf(path)


def test_one_part_of_many_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gguf", "llama", {"split.count": 3}, {"x": torch.zeros(1)})
    with pytest.raises(RunError, match=r"one of 3 parts.*--merge"):
        read_gguf(path)


def test_heads_that_do_not_add_up_to_the_width_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.gguf", "qwen2", small("qwen2"), **{"attention.key_length": 12})
    with pytest.raises(RunError, match=r"attention\.key_length: 12"):
        read_gguf(path)


@settings(max_examples=200)
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=3))
def test_any_change_of_a_whole_file_is_read_or_refused(
    changes: list[tuple[int, int]], whole_file: tuple[Path, bytes]
) -> None:
    path, data = whole_file
    changed = bytearray(data)
    for at, value in changes:
        changed[at % 20000] = value
    path.write_bytes(changed)
    try:
        for stored in read_gguf(path).tensors.values():
            stored.read()
    except GroundupError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("whole") / "a.gguf"
    tokenizer = byte_level("smollm")
    model = model_of("mixtral", tokenizer.vocab_size, n_layers=1)
    write_gguf(exported(model, tokenizer), path, "F32")
    data = path.read_bytes()
    assert data.index(b"token_embd.weight") < 20000
    return path, data


def test_numbers_that_nobody_reads_are_told_of(tmp_path: Path) -> None:
    path = made(tmp_path / "a.gguf", "qwen2", small("qwen2"), **{"logit_scale": 0.5})
    assert any("qwen2.logit_scale" in notice for notice in read_gguf(path).notices)


def test_a_bias_said_to_be_absent_must_be_zero(tmp_path: Path) -> None:
    model = small("gpt2")
    tensors = tensors_of(model, "gpt2")
    numbers = numbers_of(model, "gpt2") | {"groundup.qkv_bias": False}
    with pytest.raises(RunError, match=r"blocks\.\d\.attn\..*bias is not zero"):
        read_gguf(save(tmp_path / "a.gguf", "gpt2", numbers, tensors))
    tensors |= {n: x * 0 for n, x in tensors.items() if n.endswith("attn_qkv.bias")}
    found = read_gguf(save(tmp_path / "b.gguf", "gpt2", numbers, tensors))
    assert not found.config.qkv_bias
    assert not any("query.bias" in name for name in found.tensors)


def test_quantised_tensors_need_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama", 64, rope_scaling="none")
    path = tmp_path / "a.gguf"
    writer = GGUFWriter(path, "llama")
    for key, value in numbers_of(model, "llama").items():
        (writer.add_uint32 if type(value) is int else writer.add_float32)(key, value)
    for name, tensor in tensors_of(model, "llama").items():
        kind = (
            GGMLQuantizationType.Q8_0 if name == "token_embd.weight" else GGMLQuantizationType.F32
        )
        writer.add_tensor(name, quants.quantize(tensor.numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(UsageError, match=r"pip install 'groundup\[gguf\]'"):
        read_gguf(path)


def test_the_file_types_of_the_gguf_package_are_those_written() -> None:
    from groundup.weights.gguf import KINDS

    for kind, number in KINDS.items():
        name = "ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"
        assert gguf.LlamaFileType[name] == number
    assert np.dtype("<f4").itemsize == 4
