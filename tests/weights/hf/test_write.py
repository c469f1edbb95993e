"""What leaves: a folder that transformers uses by itself, companions and all."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from groundup.base.errors import GroundupError, RunError, UsageError
from groundup.runs.tensor_file import Stored
from groundup.tokenizer import Tokenizer
from groundup.weights.hf import read_hf, write_hf
from groundup.weights.pretrained import Exported
from tests.model.helpers import random_gpt
from tests.tokenizer.helpers import SPEECH, small_bpe
from tests.weights.hf.models import filled, loaded

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
SMALL: dict[str, Any] = {
    "vocab_size": 720,  # more than the tokenizer's 700
    "context_length": 24,
    "emb_dim": 16,
    "n_heads": 2,
    "n_layers": 2,
}


def exported(
    tokenizer: Tokenizer | None = None,
    template: str | None = None,
    generation: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    **config: Any,
) -> Exported:
    model = random_gpt(**SMALL, **config)
    tensors = {n: p.detach().to(dtype) for n, p in model.named_parameters()}
    return Exported(
        config=model.config,
        tensors={n: Stored(tuple(t.shape), dtype, t.clone) for n, t in tensors.items()},
        tokenizer=tokenizer or small_bpe(),
        chat_template=template,
        generation=generation or {},
        name="small",
    )


@torch.no_grad()
def test_a_model_without_biases_gets_zeros(tmp_path: Path) -> None:
    model = exported(qkv_bias=False, drop_rate=0.25)
    (notice,) = write_hf(model, tmp_path / "out")
    assert "has query, key and value biases" in notice
    theirs = loaded(tmp_path / "out")
    assert type(theirs).__name__ == "GPT2LMHeadModel"
    assert theirs.config.attn_pdrop == 0.25
    tokens = torch.randint(720, (2, 24))
    ours = random_gpt(**SMALL)
    torch.testing.assert_close(theirs(tokens).logits, ours(tokens), atol=1e-4, rtol=0)
    assert read_hf(tmp_path / "out").config == ours.config.replace(qkv_bias=True)


def test_the_tokenizer_reads_alike(tmp_path: Path) -> None:
    tokenizer = small_bpe()
    write_hf(exported(), tmp_path / "out")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs(SPEECH)["input_ids"] == tokenizer.encode(SPEECH)
    assert theirs.decode(tokenizer.encode(SPEECH)) == SPEECH
    assert theirs.eos_token_id == tokenizer.end_of_text
    assert theirs.model_max_length == SMALL["context_length"]
    found = read_hf(tmp_path / "out").tokenizer
    assert found is not None
    assert found.fingerprint == tokenizer.fingerprint


def test_a_start_token_is_put_before_every_text(tmp_path: Path) -> None:
    tokenizer = small_bpe()
    assert tokenizer.end_of_text is not None
    settings = {"start_token": tokenizer.end_of_text, "stop_tokens": [5, 7]}
    write_hf(exported(generation=settings), tmp_path / "out")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs(SPEECH)["input_ids"] == [tokenizer.end_of_text, *tokenizer.encode(SPEECH)]
    assert theirs.bos_token_id == tokenizer.end_of_text
    found = read_hf(tmp_path / "out")
    assert found.generation == {**settings, "special_tokens": {"bos_token": "<|endoftext|>"}}
    assert found.tokenizer is not None
    again = exported(tokenizer=found.tokenizer, generation=found.generation)
    write_hf(again, tmp_path / "again")
    names = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json")
    for name in names:
        assert json.loads((tmp_path / "again" / name).read_text()) == json.loads(
            (tmp_path / "out" / name).read_text()
        )


@pytest.mark.parametrize(
    "generation",
    [
        {},
        {"stop_tokens": [4]},
        {"stop_tokens": [4, 9], "temperature": 0.5, "top_k": 7, "top_p": 0.75, "min_p": 0.25,
         "repetition_penalty": 1.5},
        {"repetition_penalty": 1.25},
        {"temperature": 0.5, "stop_tokens": [4]},
    ],
)  # fmt: skip
def test_sampling_settings_go_there_and_back(tmp_path: Path, generation: dict[str, Any]) -> None:
    write_hf(exported(generation=generation), tmp_path / "out")
    ends = generation.get("stop_tokens", [small_bpe().end_of_text])
    found = read_hf(tmp_path / "out").generation
    assert found.pop("special_tokens").keys() == ({"eos_token"} if ends == [699] else set())
    assert found == {**generation, "stop_tokens": ends}
    theirs = GenerationConfig.from_pretrained(tmp_path / "out")
    theirs.validate(strict=True)
    assert bool(theirs.do_sample) == ("temperature" in generation)
    assert theirs.eos_token_id == (ends[0] if len(ends) == 1 else ends)
    if theirs.do_sample:  # by itself, transformers would keep 50
        assert theirs.top_k == generation.get("top_k", 0)


def test_an_ordinary_end_stays_ordinary(tmp_path: Path) -> None:
    tokenizer = small_bpe()
    (end,) = tokenizer.encode("s")
    write_hf(exported(tokenizer.ending(end)), tmp_path / "out")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs(SPEECH)["input_ids"] == tokenizer.encode(SPEECH)
    assert GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id == end


def test_greedy_stays_greedy(tmp_path: Path) -> None:
    write_hf(exported(generation={"temperature": 0.0, "top_k": 3}), tmp_path / "out")
    theirs = GenerationConfig.from_pretrained(tmp_path / "out")
    theirs.validate(strict=True)
    assert theirs.do_sample is False
    assert read_hf(tmp_path / "out").generation["temperature"] == 0


def test_the_chat_template_goes_along(tmp_path: Path) -> None:
    write_hf(exported(template=TEMPLATE), tmp_path / "out")
    assert read_hf(tmp_path / "out").chat_template == TEMPLATE
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    messages = [{"role": "user", "content": "Hi"}]
    assert theirs.apply_chat_template(messages, tokenize=False) == "<user>Hi"
    write_hf(exported(), tmp_path / "plain")
    assert read_hf(tmp_path / "plain").chat_template is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_number_format_is_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    model = exported(dtype=dtype)
    write_hf(model, tmp_path / "out")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert {parameter.dtype for parameter in theirs.parameters()} == {dtype}
    for name, stored in read_hf(tmp_path / "out").tensors.items():
        if name in model.tensors:
            assert torch.equal(stored.read(), model.tensors[name].read())


@torch.no_grad()
def test_our_own_mixture_leaves_as_mixtral(tmp_path: Path) -> None:
    shape: dict[str, Any] = {
        "norm": "rmsnorm",
        "position": "rope",
        "feed_forward": "swiglu",
        "bias": False,
    }
    model = exported(**shape, n_experts=3, n_active_experts=2, n_kv_heads=1)
    assert write_hf(model, tmp_path / "out") == []
    theirs = loaded(tmp_path / "out")
    assert type(theirs).__name__ == "MixtralForCausalLM"
    tokens = torch.randint(720, (2, 24))
    found = read_hf(tmp_path / "out")
    torch.testing.assert_close(theirs(tokens).logits, filled(found)(tokens), atol=1e-4, rtol=0)


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UsageError, match="is there already"):
        write_hf(exported(), tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is there already"):
        write_hf(exported(), tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {"out", "file"}
    (tmp_path / "empty").mkdir()
    write_hf(exported(), tmp_path / "empty")
    assert (tmp_path / "empty" / "config.json").is_file()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> torch.Tensor:
        raise RunError("the disk has gone")

    model = exported()
    model.tensors["final_norm.weight"] = Stored((16,), torch.float32, fail)
    with pytest.raises(RunError, match="the disk has gone"):
        write_hf(model, tmp_path / "out")
    with pytest.raises(UsageError, match="no native class"):
        write_hf(exported(bias=False), tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(GroundupError):
        write_hf(exported(), tmp_path / "file" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_one_tensor_is_in_memory_at_a_time(tmp_path: Path) -> None:
    model = exported()
    alive: list[str] = []
    most = 0

    def tracked(name: str, stored: Stored) -> Stored:
        def read() -> torch.Tensor:
            nonlocal most
            tensor = stored.read()
            alive.append(name)
            weakref.finalize(tensor, alive.remove, name)
            most = max(most, len(alive))
            return tensor

        return stored._replace(read=read)

    tensors = {name: tracked(name, stored) for name, stored in model.tensors.items()}
    write_hf(Exported(**{**vars(model), "tensors": tensors}), tmp_path / "out")
    assert alive == []
    assert most <= 3  # query, key and value become one
