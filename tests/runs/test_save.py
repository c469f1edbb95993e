"""A model in memory becomes a run folder from which the same model comes back, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from groundup import GPT, BPETokenizer, GPTConfig, load, save
from groundup.base.errors import GroundupError, UsageError
from groundup.config import parameter_shapes
from groundup.model import FEED_FORWARDS, empty_gpt, plain_attention
from groundup.quantized import quantizable, quantize, swap_in
from groundup.runs.record import read_run
from groundup.tokenizer import ByteTokenizer

TOKENIZER = ByteTokenizer()
SMALL: dict[str, Any] = {
    "vocab_size": 257,
    "context_length": 16,
    "emb_dim": 32,
    "n_heads": 2,
    "n_layers": 1,
}
TOKENS = torch.arange(16)[None]


def model_of(**changes: Any) -> GPT:
    model = GPT(GPTConfig(**{**SMALL, **changes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.2, 0.2)
    return model


@pytest.mark.parametrize("tied", [False, True])
def test_what_is_loaded_gives_equal_logits(tmp_path: Path, tied: bool) -> None:
    model = model_of(tie_embeddings=tied, qkv_bias=True)
    path = save(model, TOKENIZER, tmp_path / "mine")
    assert path == tmp_path / "mine"
    run = load(path)
    assert torch.equal(run.model(TOKENS), model(TOKENS))
    assert run.tokenizer.fingerprint == TOKENIZER.fingerprint
    assert (run.step, run.notices) == (0, [])
    assert read_run(path).state == "saved"


def test_weights_keep_their_number_format(tmp_path: Path) -> None:
    model = model_of().to(torch.bfloat16)
    run = load(save(model, TOKENIZER, tmp_path / "mine"))
    assert torch.equal(run.model(TOKENS), model.float()(TOKENS))


def test_how_to_talk_with_the_model_is_kept(tmp_path: Path) -> None:
    generation = {"temperature": 0.5}
    settings: dict[str, Any] = {"chat_template": "{{ messages }}", "generation": generation}
    run = load(save(model_of(), TOKENIZER, tmp_path / "mine", **settings))
    assert (run.chat_template, run.generation) == tuple(settings.values())


def wider_query(model: GPT) -> None:
    model.get_submodule("blocks.0.attn").query = nn.Linear(32, 64)


def another_activation(model: GPT) -> None:
    model.blocks[0].ffn = FEED_FORWARDS["swiglu"](GPTConfig(**SMALL, feed_forward="swiglu"))


def absent_norm(model: GPT) -> None:
    model.blocks[0].ffn_norm = nn.Identity()


def of_the_same_shapes(model: GPT) -> None:
    model.final_norm = nn.LayerNorm(32)


def own_attention(model: GPT) -> None:
    attn: Any = model.blocks[0].attn
    attn.attend = lambda *arguments: plain_attention(*arguments) / 2


def untied_head(model: GPT) -> None:
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (wider_query, "blocks.0.attn.query.weight is (64, 32), expected (32, 32)"),
        (another_activation, "unexpected blocks.0.ffn.gate.weight"),
        (absent_norm, "missing blocks.0.ffn_norm.weight"),
        (
            of_the_same_shapes,
            "final_norm is torch.nn.modules.normalization.LayerNorm, expected",
        ),
        (own_attention, "an `attend` of its own"),
        (untied_head, "unexpected lm_head.weight"),
    ],
)
def test_a_part_that_was_swapped_is_named(
    tmp_path: Path, change: Callable[[GPT], None], says: str
) -> None:
    model = model_of(tie_embeddings=True)
    change(model)
    with pytest.raises(UsageError) as caught:
        save(model, TOKENIZER, tmp_path / "mine")
    assert says in str(caught.value)
    assert "not what its config makes" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    model = model_of()
    shapes = {parameter.name: parameter for parameter in parameter_shapes(model.config)}
    codes = {
        name: quantize(p.detach(), 8) if quantizable(shapes[name]) else p.detach()
        for name, p in model.named_parameters()
    }
    swapped = empty_gpt(model.config)
    swap_in(swapped, codes)
    with pytest.raises(UsageError, match="weights are quantised"):
        save(swapped, TOKENIZER, tmp_path / "mine")


def test_other_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"torch\.float64; write model\.float\(\)"):
        save(model_of().double(), TOKENIZER, tmp_path / "mine")


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    with pytest.raises(UsageError, match="is there already"):
        save(model_of(), TOKENIZER, tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("path", ["", "."])
def test_the_working_folder_is_no_name(path: str) -> None:
    with pytest.raises(UsageError, match="this very folder"):
        save(model_of(), TOKENIZER, path)


def test_a_tokenizer_of_more_ids_is_refused(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(["the cat sat on the mat " * 5], 270)
    with pytest.raises(UsageError, match="the model was made for 257"):
        save(model_of(), tokenizer, tmp_path / "mine")


def test_nothing_is_left_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ByteTokenizer, "save", full)
    with pytest.raises(GroundupError, match="no room to write"):
        save(model_of(), TOKENIZER, tmp_path / "mine")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_here_is_refused(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match="not on this machine; use 'cpu'"):
        load(save(model_of(), TOKENIZER, tmp_path / "mine"), device=device)
