"""What a plain `train` leaves is run by transformers and llama.cpp as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from groundup import TrainConfig
from groundup.config import preset
from groundup.runs.load import LoadedRun, load
from groundup.train import ConsoleScreen, TrainRequest, train_run
from groundup.weights.convert import export_model
from tests.texts import text_file

SIZES = ["pico", "nano", "micro", "mini"]
SOME = ["pico", *(pytest.param(name, marks=pytest.mark.slow) for name in SIZES[1:])]


def trained(folder: Path, name: str) -> LoadedRun:
    """Return a run of a few steps with nothing of the model changed but its depth."""
    settings: dict[str, Any] = {"steps": 3, "batch_size": 2, "sample_tokens": 0, "threads": 1}
    asked = TrainRequest(
        sources=(str(text_file(folder, 1200)),),
        preset=name,
        model_changes={"n_layers": 2, "vocab_size": 300},
        train=TrainConfig(**settings),
        run="default",
        runs_folder=folder / "runs",
        data_folder=folder / "data",
    )
    return load(train_run(asked, ConsoleScreen(Console(quiet=True))).folder.path)


def tokens_of(run: LoadedRun) -> torch.Tensor:
    return torch.tensor([run.tokenizer.encode("The old king has lost the narrow gate.\nNobody")])


@torch.inference_mode()
def logits_of(run: LoadedRun) -> torch.Tensor:
    return run.model(tokens_of(run))


@pytest.mark.parametrize("name", SOME)
def test_transformers_runs_it_by_its_own_class(tmp_path: Path, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    run = trained(tmp_path, name)
    export_model(tmp_path / "runs/default", tmp_path / "out", "hf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert type(theirs) is transformers.Qwen3ForCausalLM
    with torch.inference_mode():
        logits = theirs(tokens_of(run)).logits
    torch.testing.assert_close(logits_of(run), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_llama_cpp_runs_it(tmp_path: Path, name: str) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    run = trained(tmp_path, name)
    export_model(tmp_path / "runs/default", tmp_path / "a.gguf", "gguf")
    other = llama_cpp.Llama(
        str(tmp_path / "a.gguf"), n_ctx=64, n_threads=1, logits_all=True, verbose=False,
        type_k=0, type_v=0, flash_attn=False,
    )  # fmt: skip
    tokens = tokens_of(run)[0].tolist()
    other.eval(tokens)
    np.testing.assert_allclose(other.scores[: len(tokens)], logits_of(run)[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SIZES)
def test_it_is_as_large_as_the_gpt2_of_its_name(name: str) -> None:
    one, other = preset(name), preset(f"gpt2-{name}")
    for field in ("n_layers", "emb_dim", "n_heads", "context_length", "vocab_size"):
        assert getattr(one, field) == getattr(other, field)
