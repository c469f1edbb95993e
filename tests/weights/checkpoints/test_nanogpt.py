"""nanoGPT's checkpoints: read without running them, and refused where they are no such thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from groundup import GPT
from groundup.base.errors import RunError, UsageError
from groundup.weights.formats import open_pretrained
from groundup.weights.pretrained import Pretrained
from tests.model.helpers import randomise

SHAPE = {"n_layer": 2, "n_head": 3, "n_embd": 24, "block_size": 16, "vocab_size": 64}
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


def reference(bias: bool) -> GPT2LMHeadModel:
    """Return the same architecture in transformers; nanoGPT's has the exact GELU."""
    names = {"block_size": "n_positions"}
    sizes: dict[str, Any] = {names.get(key, key): value for key, value in SHAPE.items()}
    model = GPT2LMHeadModel(GPT2Config(**sizes, activation_function="gelu")).eval()
    randomise(model)
    if not bias:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.mul_(0 if name.endswith(".bias") else 1)
    return model


def checkpoint(model: GPT2LMHeadModel, bias: bool, prefix: str = "") -> dict[str, Any]:
    """Lay the model out as nanoGPT's train.py saves it."""
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if bias or not name.endswith(".bias"):
            weights[prefix + name] = tensor.T.contiguous() if name.endswith(TRANSPOSED) else tensor
    arguments = {**SHAPE, "bias": bias, "dropout": 0.2}
    optimizer = {"state": {}, "param_groups": [{"lr": 6e-4}]}
    return {
        "model": weights,
        "model_args": arguments,
        "optimizer": optimizer,
        "iter_num": 2000,
        "best_val_loss": torch.tensor(1.47),
        "config": {"dataset": "shakespeare_char"},
    }


def read_nanogpt(file: Path, trust_pickle: bool) -> Pretrained:
    return open_pretrained(file, trust_pickle)


def save(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "ckpt.pt")
    return folder / "ckpt.pt"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
@torch.no_grad()
def test_logits_are_those_of_the_checkpoint(tmp_path: Path, bias: bool, prefix: str) -> None:
    theirs = reference(bias)
    found = read_nanogpt(save(tmp_path, checkpoint(theirs, bias, prefix)), trust_pickle=True)
    model = GPT(found.config).eval()
    model.load_state_dict({n: s.read() for n, s in found.tensors.items()}, strict=False)
    model.tie_weights()
    tokens = torch.randint(64, (2, 16))
    torch.testing.assert_close(model(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)
    assert found.config.bias is bias
    assert found.config.drop_rate == pytest.approx(0.2)


def test_a_pickle_is_not_opened_unless_told(tmp_path: Path) -> None:
    file = save(tmp_path, checkpoint(reference(True), True))
    with pytest.raises(UsageError, match=r"a checkpoint of nanoGPT: .*add --trust-pickle$"):
        read_nanogpt(file, trust_pickle=False)


def test_weights_alone_are_of_nanogpt_or_mingpt(tmp_path: Path) -> None:
    file = save(tmp_path, checkpoint(reference(True), True)["model"])
    with pytest.raises(UsageError, match=r"n_heads .* and feed_forward .*; add --trust-pickle --s"):
        read_nanogpt(file, trust_pickle=False)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def test_code_in_the_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="add --trust-pickle"):
        read_nanogpt(save(tmp_path, {"model": Hostile(), "model_args": {}}), trust_pickle=False)
    with pytest.raises(RunError, match=r"ckpt\.pt: .* but it asks for getattr, which ") as e:
        read_nanogpt(save(tmp_path, {"model": Hostile(), "model_args": {}}), trust_pickle=True)
    assert not Path("ran").exists()
    assert "weights_only" not in str(e.value), "nobody is told how to run it all the same"


CONTENTS: list[Any] = [
    {},
    [1, 2],
    {"model": {}},
    {"model": 3, "model_args": SHAPE},
    {"model": {}, "model_args": SHAPE | {"bias": True, "n_layer": "many"}},
    {"model": {}, "model_args": SHAPE | {"bias": True, "n_layer": 10**9}},
    checkpoint(reference(True), True) | {"model_args": SHAPE | {"n_head": torch.ones(2)}},
    {
        "model": {f"transformer.h.{i}.attn.c_attn.weight": torch.tensor(1.0) for i in range(2)},
        "model_args": SHAPE | {"bias": True},
    },
]


@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(RunError, match=r"ckpt\.pt"):
        read_nanogpt(save(tmp_path, content), trust_pickle=True)


def test_all_that_is_wrong_is_listed_together(tmp_path: Path) -> None:
    content = checkpoint(reference(True), True)
    del content["model"]["transformer.h.1.ln_2.weight"]
    content["model"]["transformer.ln_f.weight"] = torch.zeros(7)
    content["model"]["transformer.extra"] = torch.zeros(3)
    with pytest.raises(RunError) as error:
        read_nanogpt(save(tmp_path, content), trust_pickle=True)
    for named in ("h.1.ln_2.weight", "ln_f.weight is (7,)", "transformer.extra"):
        assert named in str(error.value)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path, checkpoint(reference(True), True))
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(RunError, match=r"ckpt\.pt"):
        read_nanogpt(file, trust_pickle=True)
