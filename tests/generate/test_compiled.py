"""Compiled blocks give the model's own numbers; what can't be compiled is refused in one line."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import weakref
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_unflatten

from groundup.adapters import attach
from groundup.base.errors import GroundupError, UsageError
from groundup.config import GPTConfig, parameter_shapes
from groundup.generate import compiled
from groundup.generate.compiled import compile_decoding
from groundup.generate.lookup import can_look_up
from groundup.generate.loops import COMPILING
from groundup.generate.windows import CachedReader, PlainReader
from groundup.model import GPT, filled_gpt
from groundup.quantized import quantizable, quantize
from tests.generate.test_recorded import in_bits, shaped
from tests.model.helpers import FAMILIES, randomise

OTHERS = ("gemma2", "qwen2_moe", "gpt_oss", "mixtral")
"""Families with parts that are not compiled."""


def as_exported(program: Any, told: Any) -> Any:
    """Run what would be compiled as it was exported."""
    run = program.module(check_guards=False)

    def loop(flat: list[Tensor]) -> list[Tensor]:
        given, named = tree_unflatten(flat, program.call_spec.in_spec)
        return [run(*given, **named)]

    return loop


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile nothing, which takes 10 seconds."""
    monkeypatch.setattr(compiled, "loop_of", as_exported)


@torch.inference_mode()
def written(model: GPT, other: GPT | None = None) -> tuple[Tensor, Tensor, int]:
    """Return the scores of 16 greedy tokens, those of `other` (else its own) without a cache, and
    how many of them a compiled step gave."""
    reader, plain = CachedReader(model, 1, 24), PlainReader(other or model)
    row, found, expected, n_steps = [3, 5, 2, 9], [], [], 0
    step = reader._compiled

    def counted(tokens: Any) -> Tensor:
        nonlocal n_steps
        n_steps += 1
        assert step is not None
        return step(tokens)

    reader._compiled = step and counted
    for _ in range(16):
        found.append(reader.read([row])[0].clone())
        expected.append(plain.read([row])[0])
        row.append(int(found[-1].argmax()))
    return torch.stack(found), torch.stack(expected), n_steps


def model_of(family: str) -> GPT:
    model = GPT(GPTConfig(**FAMILIES[family])).eval()
    randomise(model)
    return model


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in OTHERS])
def test_the_scores_are_those_of_the_model(family: str, exported: None) -> None:
    model = model_of(family)
    compile_decoding(model)
    found, expected, n_steps = written(model)
    windows = {model.config.window_of(layer) for layer in range(model.config.n_layers)}
    assert n_steps == 16 if windows == {None} else 0 < n_steps < 16, "a full window is read as ever"
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6 * expected.abs().max().item())


@pytest.mark.parametrize("settings", [{}, {"qkv_bias": True, "feed_forward": "swiglu"}])
def test_weights_in_8_bits_are_multiplied_as_they_are(
    settings: dict[str, Any], exported: None
) -> None:
    model = shaped(settings)
    coded = in_bits(model, 8)
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    for p in filter(quantizable, parameter_shapes(model.config)):
        tensors[p.name] = quantize(tensors[p.name], 8).dequantized()
    compile_decoding(coded)
    found, expected, n_steps = written(coded, filled_gpt(model.config, tensors).eval())
    assert n_steps == 16
    # The prompt was read by vectors in 8 bits.
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_it_is_compiled_once_for_all_models_of_a_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    told: list[str] = []
    for n_layers in (1, 2):
        model = shaped({"position": "rope", "n_kv_heads": 2, "n_layers": n_layers})
        expected, _, _ = written(model)
        compile_decoding(model, told.append)
        found, _, n_steps = written(model)
        assert n_steps == 16
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert told == [COMPILING]
    files = sorted((tmp_path / "compiled").iterdir())
    assert [path.suffix for path in files] == [".pt2", ".pt2"], "the compiler's own files are gone"
    files[0].write_bytes(files[0].read_bytes()[:20_000])
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", interrupted)
    with pytest.raises(KeyboardInterrupt):  # a loop that was cut off is compiled again
        compile_decoding(model, told.append)
    assert told == [COMPILING, COMPILING]


def test_the_compiler_shares_no_folder_with_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[str] = []

    def compiles(program: Any, package_path: Any, inductor_configs: Any) -> None:
        folders.append(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        raise KeyboardInterrupt

    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", compiles)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            compile_decoding(shaped({}))
    assert folders[0] != folders[1]
    assert {Path(folder).parent for folder in folders} == {tmp_path / "compiled"}
    assert not list((tmp_path / "compiled").iterdir())


def test_a_loop_that_is_not_loaded_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiles(program: Any, package_path: Any, inductor_configs: Any) -> None:
        with ZipFile(package_path, "w"):
            pass

    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", compiles)
    with pytest.raises(UsageError, match=r"\.pt2: not loaded \(.*\); remove it, or write") as error:
        compile_decoding(shaped({}))
    assert "\n" not in str(error.value)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import InductorError

    def compiles(program: Any, package_path: Any, inductor_configs: Any) -> None:
        raise InductorError(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), None)

    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", compiles)
    with pytest.raises(GroundupError, match="no room to write"):
        compile_decoding(shaped({}))


def test_nothing_is_guessed_at_and_texts_at_once_are_written_as_ever(exported: None) -> None:
    model = shaped({})
    assert can_look_up(model)
    compile_decoding(model)
    assert not can_look_up(model)
    assert CachedReader(model, 2, 24)._compiled is None


def test_numbers_that_change_in_place_are_seen(exported: None) -> None:
    model = shaped({})
    compile_decoding(model)
    before, _, _ = written(model)
    randomise(model, seed=3)
    found, expected, _ = written(model)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.equal(found, before)


def with_adapters(model: GPT) -> None:
    attach(model, "lora", 2, 4.0, seed=0)
    randomise(model.blocks)


def with_other_tensors(model: GPT) -> None:
    model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}, assign=True)


def with_a_hook(model: GPT) -> None:
    model.blocks[0].register_forward_hook(lambda block, given, out: out * 1.5)


@pytest.mark.parametrize("change", [with_adapters, with_other_tensors, with_a_hook])
def test_after_other_changes_it_is_written_as_ever(change: Any, exported: None) -> None:
    model = shaped({})
    compile_decoding(model)
    change(model)
    found, expected, n_steps = written(model.eval())
    assert n_steps == 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_the_model_may_be_forgotten(exported: None) -> None:
    model = shaped({})
    compile_decoding(model)
    known = weakref.ref(model)
    del model
    gc.collect()
    assert known() is None


@pytest.mark.parametrize("family", OTHERS)
def test_other_parts_are_refused(family: str) -> None:
    with pytest.raises(UsageError, match="expected groundup's own parts in fp32"):
        compile_decoding(model_of(family))


def test_adapters_are_refused() -> None:
    model = shaped({})
    attach(model, "lora", 2, 4.0, seed=0)
    with pytest.raises(UsageError, match="write without --compile"):
        compile_decoding(model.eval())


def test_four_bits_are_refused() -> None:
    with pytest.raises(UsageError, match=r"weights in 4 bits are not compiled.*--bits 8"):
        compile_decoding(in_bits(shaped({}), 4))


def test_sixteen_bits_are_refused() -> None:
    with pytest.raises(UsageError, match="in fp32"):
        compile_decoding(shaped({}).bfloat16())


def test_without_a_compiler_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(UsageError, match=r"no compiler of C\+\+ works here") as error:
        compile_decoding(shaped({}))
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "compiled").iterdir())
