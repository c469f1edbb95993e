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
from groundup.base.errors import GroundupError, RunError, TokenizerError, UsageError
from groundup.tokenizer import load_tokenizer
from groundup.weights import import_model
from groundup.weights.equivalence import differences
from groundup.weights.gguf import read_gguf, write_gguf
from groundup.weights.pretrained import Pretrained
from tests.weights.gguf.by_hand import (
    FAMILIES,
    extra,
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
    assert found.notices[-1] == "the file holds no tokenizer"
    assert len(found.notices) == 1 + (family == "gptneox")
    assert (found.source.format, found.source.family) == ("gguf", FAMILIES[family])


@pytest.mark.parametrize("family", ["phi2", "llama", "gptneox"])
def test_query_key_and_value_are_one_matrix_or_three(tmp_path: Path, family: str) -> None:
    model = small(family)
    tensors = tensors_of(model, family)
    if family == "gptneox":
        for name in [name for name in tensors if "attn_qkv" in name]:
            sizes = [model.config.n_heads * 8, model.config.n_kv_heads * 8]
            for part, x in zip("qkv", tensors.pop(name).split([*sizes, sizes[1]]), strict=True):
                tensors[name.replace("qkv", part)] = x
    else:
        for name in [name for name in tensors if "attn_q." in name]:
            parts = [tensors.pop(name.replace("attn_q", f"attn_{part}")) for part in "qkv"]
            tensors[name.replace("attn_q", "attn_qkv")] = torch.cat(parts)
    numbers = numbers_of(model, family) | extra(model, family)
    if model.config.rope_scaling == "llama3":
        tensors["rope_freqs.weight"] = torch.tensor(factors(model))
    check(read_gguf(save(tmp_path / "a.gguf", family, numbers, tensors)), model)


def split(path: Path, model: GPT, n_parts: int = 3, **changes: Any) -> list[Path]:
    """The file of a model in parts, as llama-gguf-split cuts it."""
    tensors = tensors_of(model, "qwen2")
    numbers = numbers_of(model, "qwen2")
    paths = [path / f"small-{n:05}-of-{n_parts:05}.gguf" for n in range(1, n_parts + 1)]
    for n, part in enumerate(paths):
        told = {"split.no": n, "split.count": n_parts, "split.tensors.count": len(tensors)}
        some = {name: x for i, (name, x) in enumerate(tensors.items()) if i % n_parts == n}
        save(part, "qwen2", (told | changes | numbers) if n == 0 else (told | changes), some)
    return paths


@pytest.mark.parametrize("given", [0, 2])
def test_a_model_in_parts_is_read_from_any_of_them(tmp_path: Path, given: int) -> None:
    model = small("qwen2")
    check(read_gguf(split(tmp_path, model)[given]), model)


def test_parts_that_do_not_fit_are_named(tmp_path: Path) -> None:
    model = small("qwen2")
    paths = split(tmp_path, model)

    def refusal(path: Path) -> str:
        with pytest.raises(RunError) as caught:
            read_gguf(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    renamed = paths[0].with_name("model.gguf")
    renamed.write_bytes(paths[0].read_bytes())
    assert "found by their names" in refusal(renamed)
    paths[2].write_bytes(paths[1].read_bytes())
    assert "small-00003-of-00003.gguf: split.no is 1, not 2" in refusal(paths[0])
    paths[1].unlink()
    paths[2].unlink()
    assert "2 of the 3 parts" in refusal(paths[0])
    assert "missing: small-00002-of-00003.gguf, small-00003" in refusal(paths[0])
    assert "hold 39 tensors" in refusal(split(tmp_path, model, **{"split.tensors.count": 5})[0])


@pytest.mark.parametrize("count", [0, 1 << 31, "3", [2, 2], True])
def test_numbers_of_parts_that_cannot_be_are_refused(tmp_path: Path, count: Any) -> None:
    path = save(tmp_path / "a-00001-of-00002.gguf", "llama", {"split.count": count}, {})
    with pytest.raises(RunError, match=r"split\.count: .*, expected"):
        read_gguf(path)


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


def longrope(
    path: Path, model: GPT, factors: dict[str, list[float]], told: dict[str, Any] | None = None
) -> Path:
    """The file that llama.cpp's converter makes of a Phi 3, which tells no type of scaling."""
    numbers = {
        key: value
        for key, value in numbers_of(model, "phi3").items()
        if "rope.scaling" not in key
    } | {
        "phi3.rope.scaling.original_context_length": 10,
        "phi3.rope.scaling.attn_factor": 1.25,
        "phi3.attention.sliding_window": 0,
        **(told or {}),
    }  # fmt: skip
    named = {f"rope_factors_{name}.weight": torch.tensor(x) for name, x in factors.items()}
    return save(path, "phi3", numbers, tensors_of(model, "phi3") | named)


@pytest.mark.parametrize(
    ("wanted", "context", "first"), [(None, 10, 1.5), (10, 10, 1.5), (24, 24, 3.0), (11, 11, 3.0)]
)
def test_of_longropes_factors_the_context_chooses(
    tmp_path: Path, wanted: int | None, context: int, first: float
) -> None:
    model = small("phi3 longrope")
    lists = {"short": [1.5, 2.0, 2.5], "long": [3.0, 5.0, 9.0]}
    path = longrope(tmp_path / "a.gguf", model, lists)
    found = read_gguf(path, wanted)
    assert found.config.context_length == context
    assert found.config.rope_factors == (first, *((2.0, 2.5) if context == 10 else (5.0, 9.0)))
    assert found.config.rope_attention_factor == 1.25
    told = [notice for notice in found.notices if "longrope" in notice]
    expected = {None: "its context is 10 here", 24: "short texts", 11: "short texts"}
    assert len(told) == (wanted in expected)
    assert all(expected[wanted] in line for line in told)


@pytest.mark.parametrize(
    ("key", "value"),
    [("factor", 2.0), ("attn_factor", 0.0), *(("original_context_length", n) for n in (0, 1))],
)
def test_impossible_numbers_of_longrope_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    model, lists = small("phi3 longrope"), {"short": [1.0, 2.0, 3.0], "long": [2.0, 3.0, 4.0]}
    told = {f"phi3.rope.scaling.{key}": value}
    with pytest.raises(RunError, match=f"{value}") as caught:
        read_gguf(longrope(tmp_path / "a.gguf", model, lists, told))
    assert "\n" not in str(caught.value)


def test_half_of_longropes_factors_is_refused(tmp_path: Path) -> None:
    model = small("phi3 longrope")
    for lists, said in (
        ({"long": [1.0, 2.0, 3.0]}, "needs rope_factors_short.weight and rope_factors_long"),
        ({"long": [1.0, 2.0], "short": [1.0, 2.0]}, "rope_factors = .*3 numbers above 0"),
    ):
        with pytest.raises(RunError, match=said):
            read_gguf(longrope(tmp_path / "a.gguf", model, lists))


@pytest.mark.parametrize("family", ["granite", "cohere2"])
@pytest.mark.parametrize("scale", [-1.0, float("inf"), float("nan"), 1e-30, "2"])
def test_impossible_factors_are_refused(tmp_path: Path, family: str, scale: Any) -> None:
    path = made(tmp_path / "a.gguf", family, small(family), logit_scale=scale)
    with pytest.raises(RunError, match=rf"{family}\.logit_scale: .*expected a"):
        read_gguf(path)


def test_granites_factors_are_in_the_weights(tmp_path: Path) -> None:
    model = small("granite")
    told = {"embedding_scale": 4.0, "residual_scale": 0.5, "attention.scale": 0.25,
            "logit_scale": 8.0}  # fmt: skip
    found = read_gguf(made(tmp_path / "a.gguf", "granite", model, **told))
    ours = dict(model.named_parameters())
    factors = {"token_embedding.weight": 4.0, "blocks.1.attn.out.bias": 0.5,
               "blocks.2.ffn.down.weight": 0.5, "blocks.0.attn.query.bias": 0.25 * 8**0.5,
               "final_norm.weight": 1 / 32, "blocks.0.ffn.up.weight": 1.0}  # fmt: skip
    for name, factor in factors.items():
        assert torch.allclose(found.tensors[name].read(), ours[name] * factor, rtol=1e-6, atol=0)
    assert "final_norm x 0.03125" in found.notices[0]


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
    "longrope": ({"rope.scaling.type": "longrope"}, "rope.scaling.type: 'longrope' needs"),
    "yarn with a factor below 1": (
        {"rope.scaling.type": "yarn", "rope.scaling.factor": 0.5}, "rope.scaling.factor: 0.5"
    ),
    "yarn with a factor of no size": (
        {"rope.scaling.type": "yarn", "rope.scaling.factor": float("nan")}, "rope.scaling.factor"
    ),
    "half of yarn": (
        {"rope.scaling.type": "yarn", "rope.scaling.yarn_ext_factor": 0.5}, "yarn_ext_factor: 0.5"
    ),
    "loud rotations": ({"rope.scaling.attn_factor": 1.2}, "attn_factor: 1.2, which only yarn has"),
    "images": ({"rope.dimension_sections": [2, 2, 0, 0]}, "positions of images"),
    "both scalings": ({"rope.scaling.factor": 2.0}, "rope_freqs.weight"),
    "no epsilon": ({"attention.layer_norm_rms_epsilon": 0.0}, "norm_eps"),
    "an epsilon that is none": ({"attention.layer_norm_rms_epsilon": float("nan")}, "norm_eps"),
    "a vast model": ({"embedding_length": 1 << 31}, "emb_dim"),
    "another width": ({"feed_forward_length": 44}, "expected (44, 32)"),
}  # fmt: skip


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


def test_another_tokenizer_takes_the_place_of_one_that_is_not_known(tmp_path: Path) -> None:
    tokenizer = byte_level("smollm")
    write_gguf(exported(model_of("qwen2", tokenizer.vocab_size), tokenizer), tmp_path / "a", "F32")
    data = (tmp_path / "a").read_bytes()
    path = tmp_path / "a.gguf"
    path.write_bytes(data.replace(b"smollm", b"sm0llm"))
    with pytest.raises(
        TokenizerError, match=r"pre 'sm0llm' names a rule.*or give one with --tokenizer"
    ):
        import_model(path, tmp_path / "run")
    import_model(path, tmp_path / "run", tokenizer=tokenizer)
    assert load_tokenizer(tmp_path / "run" / "tokenizer.json").encode("a b") == tokenizer.encode(
        "a b"
    )


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
