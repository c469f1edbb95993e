"""nanochat's checkpoints against the class of that name in transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import NanoChatConfig, NanoChatForCausalLM

from groundup.base.errors import RunError, UsageError
from groundup.tokenizer import CharTokenizer
from groundup.weights.checkpoints.nanochat import EPS
from groundup.weights.hf import write_hf
from tests.model.helpers import randomise
from tests.weights.checkpoints.helpers import assert_same, filled, opened, saved
from tests.weights.gguf.making import exported
from tests.weights.hf.models import loaded

SHAPE = {
    "sequence_len": 24,
    "vocab_size": 61,
    "n_layer": 3,
    "n_head": 4,
    "n_kv_head": 2,
    "n_embd": 32,
}
NAMES = {
    "model.embed_tokens.": "transformer.wte.",
    "model.layers.": "transformer.h.",
    "self_attn.q_proj": "attn.c_q",
    "self_attn.k_proj": "attn.c_k",
    "self_attn.v_proj": "attn.c_v",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def reference() -> NanoChatForCausalLM:
    config = NanoChatConfig(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=24,
        rms_norm_eps=EPS,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    model = NanoChatForCausalLM(config).eval()
    randomise(model)
    with torch.no_grad():
        model.lm_head.weight.mul_(3)  # so that the cap bends the logits
    return model


def written(folder: Path, model: NanoChatForCausalLM, **changes: Any) -> Path:
    """Write a model as nanochat does."""
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        for theirs, there in NAMES.items():
            name = name.replace(theirs, there)
        weights[name] = tensor
    meta = {"step": 20, "val_bpb": 1.1, "model_config": SHAPE | changes}
    (folder / "meta_000020.json").write_text(json.dumps(meta))
    return saved(folder, weights, "model_000020.pt")


def test_logits_are_those_of_nanochat(tmp_path: Path) -> None:
    theirs = reference()
    found = opened(written(tmp_path, theirs))
    assert_same(found, lambda tokens: theirs(tokens).logits)
    assert found.config.n_kv_heads == 2


def test_it_goes_out_as_the_class_of_transformers(tmp_path: Path) -> None:
    theirs = reference()
    with torch.no_grad():  # rows that are next to nothing, and one that is nothing
        theirs.model.embed_tokens.weight[:5] *= 1e-4
        theirs.model.embed_tokens.weight[7] = 0
    model = filled(opened(written(tmp_path, theirs)))
    write_hf(exported(model, CharTokenizer("abc")), tmp_path / "out")
    again, tokens = loaded(tmp_path / "out"), torch.arange(24)[None]
    assert type(again) is NanoChatForCausalLM
    with torch.no_grad():
        torch.testing.assert_close(again(tokens).logits, model(tokens), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("blocks.1.attn.query_norm", r"query_norm\.weight is not 1 everywhere"),
        ("token_embedding", "rows of the token embedding are longer"),
    ],
)
def test_what_has_learnt_more_than_it_can_does_not(tmp_path: Path, name: str, said: str) -> None:
    model = filled(opened(written(tmp_path, reference())))
    with torch.no_grad():
        model.get_parameter(f"{name}.weight")[3] *= 1.001
    with pytest.raises(UsageError, match=said):
        write_hf(exported(model, CharTokenizer("abc")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_its_meta_file_the_rest_is_asked_for(tmp_path: Path) -> None:
    file = written(tmp_path, reference())
    (tmp_path / "meta_000020.json").unlink()
    with pytest.raises(UsageError, match=r"of nanochat: .* tell n_heads .* and context_length "):
        opened(file)
    assert opened(file, n_heads=4, context_length=24).config.n_kv_heads == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [("value_embeds.1.weight", "value embeddings"), ("resid_lambdas", "scalars of layers")],
)
def test_a_later_architecture_is_refused_by_name(tmp_path: Path, name: str, said: str) -> None:
    file = written(tmp_path, reference())
    saved(tmp_path, torch.load(file) | {name: torch.ones(3)}, file.name)
    with pytest.raises(RunError, match=rf"{name} is {said}, a later nanochat's"):
        opened(file)


def test_windows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="window_pattern = SSSL: a later nanochat's"):
        opened(written(tmp_path, reference(), window_pattern="SSSL"))
