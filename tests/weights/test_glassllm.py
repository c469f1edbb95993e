"""A small pretrained model of another project, in NumPy: mapped by a table, the same text."""

from __future__ import annotations

import importlib
import json
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from groundup import GPT, GPTConfig
from groundup.base.errors import GroundupError
from groundup.base.wheels import Wheel
from groundup.generate import SamplingConfig, generate_tokens

pytestmark = pytest.mark.network

GLASSLLM = Wheel(
    package="glassllm",
    version="0.1.0",
    sha256="1611801c031d0fc300dc89d3c07cd6be56dc1784e38e24422b2242d0761a333b",
)
NAMES = {
    "attn_norm": "norm1.gamma",
    "attn.query": "attn.W_Q",
    "attn.key": "attn.W_K",
    "attn.value": "attn.W_V",
    "attn.out": "attn.W_O",
    "ffn_norm": "norm2.gamma",
    "ffn.gate": "ffn.W1",
    "ffn.up": "ffn.W3",
    "ffn.down": "ffn.W2",
}
PROMPTS = ["Alice was", "The Queen of Hearts,", '"What is the use of a book," thought', "I"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    try:
        wheel = GLASSLLM.fetch()
    except GroundupError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("glassllm")
    zipfile.ZipFile(wheel).extractall(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return importlib.import_module("glassllm")


@pytest.fixture(scope="module", params=["en", "pt"])
def models(package: ModuleType, request: pytest.FixtureRequest) -> tuple[Any, Any, GPT]:
    theirs, tokenizer = package.load_pretrained(request.param)
    weights = Path(str(package.__file__)).parent / "weights" / f"{request.param}.npz"
    return theirs, tokenizer, mapped(weights)


def mapped(file: Path) -> GPT:
    with np.load(file) as arrays:
        numbers = json.loads(str(arrays["__config__"]))
        config = GPTConfig(
            vocab_size=numbers["vocab_size"],
            context_length=numbers["max_len"],
            emb_dim=numbers["d_model"],
            n_layers=numbers["n_layers"],
            n_heads=numbers["n_heads"],
            n_kv_heads=numbers["n_kv_heads"],
            ffn_dim=8 * numbers["d_model"] // 3,
            rope_base=numbers["rope_base"],
            norm_eps=numbers["eps"],
            norm="rmsnorm",
            position="rope",
            feed_forward="swiglu",
            bias=False,
            tie_embeddings=True,
        )
        found = {
            name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files[1:]
        }
    ours = {"token_embedding.weight": found["E"], "final_norm.weight": found["norm_f.gamma"]}
    for i in range(config.n_layers):
        for name, other in NAMES.items():
            tensor = found[f"blocks.{i}.{other}"]
            if name in ("attn.query", "attn.key"):
                tensor = halved(tensor, config.head_dim)
            ours[f"blocks.{i}.{name}.weight"] = tensor.T if tensor.dim() == 2 else tensor
    model = GPT(config)
    assert ours.keys() == dict(model.named_parameters()).keys()
    model.load_state_dict(ours, strict=False)
    return model.eval()


def halved(weight: Tensor, head_dim: int) -> Tensor:
    """Their pairs are neighbours (2i, 2i + 1), ours stand half a head apart: (i, i + H/2)."""
    heads = weight.unflatten(1, (-1, head_dim // 2, 2))  # (D, heads, H/2, 2)
    return heads.transpose(2, 3).flatten(1)


@torch.no_grad()
def test_its_logits_are_ours(models: tuple[Any, Any, GPT]) -> None:
    theirs, tokenizer, ours = models
    ids = tokenizer.encode("".join(PROMPTS) * 3)[:128]
    expected = torch.from_numpy(theirs(ids).data).float()
    torch.testing.assert_close(ours(torch.tensor([ids])), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_its_greedy_text_is_ours(models: tuple[Any, Any, GPT], prompt: str) -> None:
    theirs, tokenizer, ours = models
    ids = tokenizer.encode(prompt)
    expected = [step.token for step in theirs.generate(ids, 90, greedy=True)]
    steps = generate_tokens(ours, [ids], SamplingConfig(max_tokens=90, temperature=0.0))
    written = [token for (token,) in steps]
    assert tokenizer.decode(written) == tokenizer.decode(expected)
    assert len(tokenizer.decode(written)) > 90
