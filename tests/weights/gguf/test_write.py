"""Models written as GGUF: read back by us bit for bit, and by the `gguf` package."""

from __future__ import annotations

import dataclasses
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGUFReader, quants

from groundup import GPT, GPTConfig
from groundup.base.errors import RunError, TokenizerError, UsageError
from groundup.runs.tensor_file import Stored
from groundup.tokenizer import CharTokenizer
from groundup.weights.equivalence import differences
from groundup.weights.gguf import KINDS, read_gguf, write_gguf
from groundup.weights.gguf.architectures import ARCHITECTURES
from groundup.weights.gguf.blocks import PLAIN
from groundup.weights.gguf.write import BY_TANH, architecture_of
from tests.weights.gguf.making import FAMILIES, byte_level, exported, model_of, scored

SPECIFIC: dict[str, dict[str, Any]] = {
    "gemma2": {"head_dim": 8},
    "gemma3": {"head_dim": 8},
}


def small(family: str, **changes: Any) -> GPT:
    tokenizer = scored() if "gemma" in family else byte_level("gpt-2")
    return model_of(family, tokenizer.vocab_size + 3, **(SPECIFIC.get(family, {}) | changes))


def written(path: Path, model: GPT, kind: str = "F32", **others: Any) -> list[str]:
    return write_gguf(exported(model, byte_level("gpt-2"), **others), path, kind)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, family: str) -> None:
    model = small(family)
    notices = written(tmp_path / "a.gguf", model)
    back = read_gguf(tmp_path / "a.gguf")
    assert differences(model.config, back.config) == {}
    assert notices == ([BY_TANH] if model.config.feed_forward == "gelu" else [])
    told = family in ARCHITECTURES and ARCHITECTURES[family].notice
    assert back.notices == ([told] if told else [])
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    assert list(back.tensors) == list(parameters)
    for name, stored in back.tensors.items():
        expected = parameters[name]
        if "gemma" in family and "norm" in name:  # stored as w + 1
            expected = (expected + 1) - 1
            assert (expected - parameters[name]).abs().max() < 2e-7
        assert torch.equal(stored.read(), expected)


def test_what_goes_with_the_weights_comes_back(tmp_path: Path) -> None:
    generation = {"stop_tokens": [5, 7], "start_token": 3}
    template = "{% for m in messages %}\n{{ m }}🙂{% endfor %}"
    written(tmp_path / "a.gguf", small("qwen3"), chat_template=template, generation=generation,
            name="tiny one")  # fmt: skip
    back = read_gguf(tmp_path / "a.gguf")
    assert back.chat_template == template
    named = back.generation.pop("special_tokens")
    assert named.keys() == {"bos_token", "eos_token"}
    assert back.generation == generation
    assert back.source.name == "tiny one"
    assert back.tokenizer is not None
    assert back.tokenizer.fingerprint == byte_level("gpt-2").fingerprint


@pytest.mark.parametrize("family", ["gptneox", "starcoder2", "gpt2"])
def test_the_exact_gelu_comes_back_and_is_told_of(tmp_path: Path, family: str) -> None:
    model = small(family, feed_forward="gelu")
    assert written(tmp_path / "a.gguf", model) == [BY_TANH]
    back = read_gguf(tmp_path / "a.gguf")
    assert (back.config.feed_forward, back.notices) == ("gelu", [])


@pytest.mark.parametrize("kind", KINDS)
def test_the_gguf_package_reads_every_kind(tmp_path: Path, kind: str) -> None:
    model = small("mixtral", emb_dim=64, ffn_dim=96, head_dim=16)
    assert written(tmp_path / "a.gguf", model, kind) == []
    reader = GGUFReader(tmp_path / "a.gguf")
    assert reader.fields["general.file_type"].contents() == KINDS[kind]
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["llama.attention.head_count_kv"].contents() == 2
    assert reader.fields["llama.rope.freq_base"].contents() == 10000.0
    assert reader.fields["tokenizer.ggml.token_type"].contents()[-1] == gguf.TokenType.UNUSED
    found = {tensor.name: tensor for tensor in reader.tensors}
    fine = kind if kind in PLAIN else "Q8_0"
    expected = {"output_norm.weight": "F32", "blk.0.ffn_gate_inp.weight": "F32",
                "token_embd.weight": fine, "output.weight": fine, "blk.1.attn_q.weight": kind,
                "blk.1.ffn_down_exps.weight": kind}  # fmt: skip
    assert {name: found[name].tensor_type.name for name in expected} == expected
    ffn: Any = model.blocks[1].ffn
    down = torch.stack([expert.down.weight for expert in ffn.experts])
    theirs = found["blk.1.ffn_down_exps.weight"]
    assert theirs.shape.tolist() == [96, 64, 4]
    packed = quants.quantize(down.detach().numpy(), theirs.tensor_type)
    assert np.array_equal(theirs.data.view(np.uint8), packed.view(np.uint8))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_rows_that_make_no_blocks_are_f16_and_told_of(tmp_path: Path, kind: str) -> None:
    model = small("llama", ffn_dim=40)
    notices = written(tmp_path / "a.gguf", model, kind)
    assert "3 tensors are F16" in notices[0]
    assert "blk.0.ffn_down.weight" in notices[0]
    types = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "a.gguf").tensors}
    assert types["blk.0.ffn_down.weight"] == "F16"
    assert types["blk.0.ffn_up.weight"] == kind


def test_weights_of_another_dtype_are_converted_once(tmp_path: Path) -> None:
    model = small("gemma3")
    tensors = exported(model, scored()).tensors

    def half(stored: Stored) -> Stored:
        return Stored(stored.shape, torch.bfloat16, lambda: stored.read().bfloat16())

    halves = {name: half(stored) for name, stored in tensors.items()}
    out = dataclasses.replace(exported(model, scored()), tensors=halves)
    write_gguf(out, tmp_path / "a.gguf", "BF16")
    back = read_gguf(tmp_path / "a.gguf").tensors
    for name, stored in halves.items():
        expected = stored.read()
        if "norm" in name:  # one dimension: F32, and stored as w + 1
            expected = (expected.float() + 1) - 1
        assert torch.equal(back[name].read(), expected)


_YARN = {"rope_scaling": "yarn", "rope_factor": 4.0, "rope_original_context": 6}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "another activation": ("phi2", {"feed_forward": "relu"}, "phi2, has feed_forward = "),
    "a window": ("mistral", {"window": 5}, "llama, has window = None, not 5"),
    "llama3 for qwen": (
        "qwen3", {"rope_scaling": "llama3", "rope_factor": 2.0, "rope_original_context": 16},
        "llama, has qk_norm = 'none', not 'head'",
    ),
    "a scale of its own": ("llama", {"query_pre_attn_scalar": 5.0}, "query_pre_attn_scalar"),
    "experts with bias": ("mixtral", {"bias": True}, "bias = False, not True"),
    "no cap": ("gemma2", {"logit_softcap": 0.0}, "logit_softcap = 30.0, not 0.0"),
    "post-norm of heads": ("olmo2", {"qk_norm": "head"}, "qwen3, has norm_order = 'pre', not"),
    "a plain norm": ("gemma3", {"norm": "rmsnorm"}, "zero_centered_rmsnorm"),
    "layernorm with rope": ("llama", {"norm": "layernorm"}, "norm = "),
    "unusual llama3": ("llama", {"rope_low_freq_factor": 2.0}, "llama"),
    "yarn by other turns": ("yarn", {"rope_high_freq_factor": 16.0}, "rope_high_freq_factor"),
    "yarn beside windows": ("gemma3", _YARN, "gemma3, has rope_scaling = 'none', not 'yarn'"),
    "windows that are slowed": ("olmo3", {"rope_local_base": 0.0}, "rope_local_base = 10000.0"),
    "a base of windows": ("olmo3", {"rope_local_base": 500.0}, "rope_local_base = 10000.0"),
    "positions in other layers": ("smollm3", {"rope_pattern": "RN"}, "rope_pattern"),
    "a window of starcoder2": ("starcoder2", {"window": 5}, "window = None, not 5"),
    "a window of phi3": ("phi3", {"window": 5}, "phi3, has window = None, not 5"),
    "longrope and a norm of heads": ("phi3 longrope", {"qk_norm": "head"}, "phi3, has qk_norm"),
    "longrope and wide heads": (
        "phi3 longrope",
        {"head_dim": 16, "rope_fraction": 1.0, "rope_factors": (2.0,) * 8},
        "llama, has rope_scaling = 'none'",
    ),
    "a tied gptneox": ("gptneox", {"tie_embeddings": True}, "tie_embeddings = False, not True"),
    "an untied cohere2": ("cohere2", {"tie_embeddings": False}, "tie_embeddings = True, not"),
    "a tied qwen2moe": ("qwen2moe", {"tie_embeddings": True}, "tie_embeddings = False, not True"),
    "a tied gpt-oss": ("gpt-oss", {"tie_embeddings": True}, "tie_embeddings = False, not True"),
    "gpt-oss without windows": ("gpt-oss", {"window": None}, "has no architecture for"),
    "cohere2 without windows": ("cohere2", {"rope_pattern": "N", "window": None}, "has no "),
    "part of a head": ("qwen3", {"rope_fraction": 0.5}, "qwen3, has rope_fraction = 1.0, not"),
    "a head with bias": ("llama", {"head_bias": True}, "head_bias = False, not True"),
    "OPT": ("gpt2", {"feed_forward": "relu"}, "no architecture for OPT: the nearest, gpt2, has"),
    "GPT-Neo": ("gpt2", {"query_pre_attn_scalar": 1.0, "qkv_bias": False}, "for GPT-Neo: the"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_llama_cpp_cannot_express_is_refused(tmp_path: Path, name: str) -> None:
    family, changes, expected = REFUSED[name]
    config = small(family).config.replace(**changes)
    with pytest.raises(RunError) as caught:
        architecture_of(config)
    assert expected in str(caught.value)
    assert "--format hf" in str(caught.value)
    assert "\n" not in str(caught.value)


ALIKE: dict[str, tuple[str, dict[str, Any], str]] = {
    "a window that never closes": ("mistral", {"window": 24}, "llama"),
    "free heads": ("qwen2", {"head_dim": 12}, "llama"),
    "a tied llama": ("llama", {"tie_embeddings": True}, "llama"),
    "a llama with biases": ("linear rope", {"bias": True, "qkv_bias": True}, "llama"),
    "linear gemma": ("gemma3", {"rope_scaling": "linear", "rope_factor": 8.0}, "gemma3"),
    "all layers local": ("gemma3", {"window_pattern": "L"}, "gemma3"),
    "all layers global": ("gemma3", {"window": None}, "gemma3"),
    "a pattern of its own": ("gemma2", {"window_pattern": "LGG"}, "gemma2"),
    "windows without scale": ("olmo2", {"window": 5, "window_pattern": "LLLG"}, "olmo2"),
    "experts of qwen": ("qwen3", {"n_experts": 4, "n_active_experts": 2}, "qwen3moe"),
    "longrope": ("phi3 longrope", {"rope_attention_factor": 0.0}, "phi3"),
    "longrope that turns whole": (
        "phi3 longrope", {"rope_fraction": 1.0, "rope_factors": (1.0, 2.0, 3.0, 4.5)}, "phi3",
    ),
    "phi3 that turns whole": ("phi3", {"rope_fraction": 1.0}, "llama"),
    "granite": ("granite", {}, "llama"),
    "a short smollm3": ("smollm3", {"n_layers": 3}, "llama"),
    "cohere2 without windows": ("cohere2", {"window": None, "window_pattern": "L"}, "cohere2"),
    "loud yarn": ("smollm3", {"rope_attention_factor": 1.2345678}, "smollm3"),
    "wide gemma": ("gemma2", {"n_layers": 46, "query_pre_attn_scalar": 8.0}, "gemma2"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_what_it_can_express_is_found(tmp_path: Path, name: str) -> None:
    family, changes, expected = ALIKE[name]
    config = small(family).config.replace(**changes)
    assert architecture_of(config)[0] == expected


@pytest.mark.parametrize(
    ("family", "expected"),
    [("seed_oss", "seed_oss"), ("granite", "llama"), ("phi3", "phi3"), ("mistral", "llama")],
)
def test_a_model_goes_back_to_what_it_came_from(family: str, expected: str) -> None:
    config = small(family).config.replace(rope_fraction=1.0)
    assert architecture_of(config)[0] == "llama"
    assert architecture_of(config, family)[0] == expected


def test_a_refusal_leaves_no_file(tmp_path: Path) -> None:
    model = small("gpt2")
    with pytest.raises(TokenizerError):
        write_gguf(exported(model, CharTokenizer("abc")), tmp_path / "a.gguf", "F32")
    with pytest.raises(UsageError, match="Q9"):
        write_gguf(exported(model, byte_level("gpt-2")), tmp_path / "a.gguf", "Q9")
    broken = exported(model, byte_level("gpt-2"))
    broken.tensors["final_norm.weight"] = Stored((32,), torch.float32, lambda: torch.zeros(1 // 0))
    with pytest.raises(ZeroDivisionError):
        write_gguf(broken, tmp_path / "a.gguf", "F32")
    assert not list(tmp_path.iterdir())


def test_quantised_kinds_need_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    written(tmp_path / "a.gguf", small("llama"), "BF16")
    with pytest.raises(UsageError, match=r"pip install 'groundup\[gguf\]'"):
        written(tmp_path / "b.gguf", small("llama"), "Q8_0")


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_1"])
def test_one_tensor_is_in_memory_at_a_time(tmp_path: Path, kind: str) -> None:
    config = GPTConfig(vocab_size=1000, context_length=16, emb_dim=512, n_heads=4, n_layers=6,
                       qkv_bias=True, tie_embeddings=True)  # fmt: skip
    with torch.device("meta"):
        shapes = {name: p.shape for name, p in GPT(config).named_parameters()}
    tensors = {
        name: Stored(tuple(shape), torch.float32, partial(array, shape))
        for name, shape in shapes.items()
    }
    out = dataclasses.replace(exported(small("gpt2"), byte_level("gpt-2")), config=config,
                              tensors=tensors)  # fmt: skip
    tracemalloc.start()
    write_gguf(out, tmp_path / "a.gguf", kind)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < sum(shape.numel() * 4 for shape in shapes.values()) / 5


def array(shape: torch.Size) -> torch.Tensor:
    """A tensor whose memory Python's tracer sees, unlike torch's own."""
    return torch.from_numpy(np.full(shape, 0.5, dtype=np.float32))
