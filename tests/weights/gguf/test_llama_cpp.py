"""What we export, run by llama.cpp itself: the same tokens, the same logits, the same texts.

Its CPU code takes GELU from a table of half-precision numbers, so that models with GELU agree to
some 1e-3 only; the others to rounding. Run with: pip install llama-cpp-python
"""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup import GPT
from groundup.tokenizer import StreamDecoder, Tokenizer
from groundup.weights.gguf import read_gguf, write, write_gguf
from groundup.weights.gguf.metadata import metadata_of
from groundup.weights.gguf.pre_tokenizers import PRE_TOKENIZERS
from groundup.weights.gguf.special import END_TOKENS
from tests.weights.gguf.making import TEXTS, byte_level, exported, model_of, scored

pytestmark = pytest.mark.slow
llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

N_CONTEXT = 320
N_GREEDY = 256
MARGIN = 1e-2
"""Where the two best logits lie closer, either may come first."""

PLAIN: dict[str, Any] = {"rtol": 0, "atol": 1e-4}
GELU: dict[str, Any] = {"rtol": 0, "atol": 5e-2}
FAMILIES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "gpt2": ("gpt-2", {"emb_dim": 64, "head_dim": 16}, GELU),
    "gpt2 without bias": ("gpt-2", {}, GELU),
    "llama": ("llama-bpe", {"rope_original_context": 64}, PLAIN),
    "linear rope": ("smollm", {"bias": True, "qkv_bias": True}, PLAIN),
    "mistral": (True, {"tie_embeddings": True}, PLAIN),
    "mixtral": (True, {}, PLAIN),
    "qwen2": ("qwen2", {}, PLAIN),
    "qwen3": ("deepseek-r1-qwen", {}, PLAIN),
    "olmo2": ("dbrx", {}, PLAIN),
    "gemma2": (False, {"head_dim": 16, "logit_softcap": 30.0, "attention_softcap": 50.0}, GELU),
    "gemma3": (False, {"head_dim": 16, "window_pattern": "LLLLLG", "n_layers": 7}, GELU),
    "gemma": (False, {"head_dim": 16}, GELU),
    "olmo3": ("olmo", {}, PLAIN),
    "yarn": ("llama-bpe", {}, PLAIN),
    "gptneox": ("olmo", {}, GELU),
    "gptneox in turn": ("olmo", {}, GELU),
    "phi2": ("gpt-2", {}, GELU),
    "phi3": (True, {}, PLAIN),
    "phi3 longrope": (True, {}, PLAIN),
    "smollm3": ("dbrx", {"head_dim": 12}, PLAIN),
    "arcee": ("llama-bpe", {"rope_original_context": 64}, PLAIN),
    "glm4": ("glm4", {"head_dim": 12}, PLAIN),
    "cohere2": ("command-r", {}, PLAIN),
    "starcoder2": ("smollm", {}, GELU),
    "seed_oss": ("seed-coder", {"head_dim": 12}, PLAIN),
    "granite": ("smollm", {}, PLAIN),
    "qwen2moe": ("qwen2", {}, PLAIN),
    "gpt-oss": ("gpt-4o", {}, PLAIN),
}
FORCED = ("seed_oss", "granite")
"""Models that go out as llama; they are read as these, too."""


def tokenizer_of(name: str | bool) -> Tokenizer:
    return byte_level(name) if isinstance(name, str) else scored(name)


def family_of(name: str) -> tuple[GPT, Tokenizer, dict[str, Any]]:
    kind, changes, tolerance = FAMILIES[name]
    tokenizer = tokenizer_of(kind)
    sizes = {"context_length": N_CONTEXT, "head_dim": 8} | changes
    model = model_of(name, tokenizer.vocab_size + 2, **sizes)
    with torch.no_grad():
        # Logits that lie apart, as those of a trained model.
        model.get_parameter("final_norm.weight").mul_(10)
    return model, tokenizer, tolerance


def opened(path: Path, **others: Any) -> Any:
    return llama_cpp.Llama(
        str(path), n_ctx=N_CONTEXT, n_batch=N_CONTEXT, n_threads=1, logits_all=True, verbose=False,
        type_k=0, type_v=0, flash_attn=False, **others,
    )  # fmt: skip


def theirs(model: Any, tokens: list[int]) -> np.ndarray[Any, Any]:
    model.reset()
    model.eval(tokens)
    scores: np.ndarray[Any, Any] = model.scores[: len(tokens)]
    return scores


@torch.inference_mode()
def ours(model: GPT, tokens: list[int]) -> np.ndarray[Any, Any]:
    return model(torch.tensor([tokens]))[0].numpy()


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_and_greedy_tokens_are_llama_cpps(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer, tolerance = family_of(name)
    if name in FORCED:
        forced = name, metadata_of(name, model.config)
        monkeypatch.setattr(write, "architecture_of", lambda config, family: forced)
    write_gguf(exported(model, tokenizer), tmp_path / "a.gguf", "F32")
    other = opened(tmp_path / "a.gguf")
    tokens = np.random.default_rng(0).integers(3, tokenizer.vocab_size, 300).tolist()
    expected = theirs(other, tokens)
    print(f"{name}: {np.abs(ours(model, tokens) - expected).max():.1e}")
    np.testing.assert_allclose(ours(model, tokens), expected, **tolerance)
    written, close = tokens[:20], 0
    other.reset()
    other.eval(written)
    for _ in range(N_GREEDY):
        logits = ours(model, written)[-1]
        best, second = np.sort(logits)[::-1][:2]
        mine, yours = int(logits.argmax()), int(other.scores[len(written) - 1].argmax())
        close += best - second < MARGIN
        assert mine == yours or best - second < MARGIN
        other.eval([yours])  # go on with theirs: from a tie on, the texts are compared again
        written.append(yours)
    assert close < N_GREEDY / 2


FACTORS = {
    "granite": {"embedding_scale": 3.0, "residual_scale": 0.5, "attention.scale": 0.2,
                "logit_scale": 4.0},
    "cohere2": {"logit_scale": 0.25},
}  # fmt: skip


@pytest.mark.parametrize("name", FACTORS)
def test_factors_are_taken_into_the_weights(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer, tolerance = family_of(name)
    told = {f"{name}.{key}": value for key, value in FACTORS[name].items()}
    forced = name, metadata_of(name, model.config) | told
    monkeypatch.setattr(write, "architecture_of", lambda config, family: forced)
    write_gguf(exported(model, tokenizer), tmp_path / "a.gguf", "F32")
    found = read_gguf(tmp_path / "a.gguf")
    assert "factors" in found.notices[0]
    with torch.no_grad():
        for parameter_name, stored in found.tensors.items():
            model.get_parameter(parameter_name).copy_(stored.read())
    tokens = list(range(3, 103))
    expected = theirs(opened(tmp_path / "a.gguf"), tokens)
    print(f"{name}: {np.abs(ours(model, tokens) - expected).max():.1e}")
    np.testing.assert_allclose(ours(model, tokens), expected, **tolerance)


@pytest.mark.parametrize(("original", "wanted"), [(2 * N_CONTEXT, N_CONTEXT), (9, N_CONTEXT)])
def test_of_longropes_factors_the_context_chooses(
    tmp_path: Path, original: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer, tolerance = family_of("phi3 longrope")
    lists = {"rope_factors_short.weight": (1.5, 2.0, 2.5), "rope_factors_long.weight": (4, 6, 9.5)}
    monkeypatch.setattr(write, "factor_tensors", lambda config: lists)
    told = {"phi3.rope.scaling.original_context_length": original}
    forced = "phi3", metadata_of("phi3", model.config) | told
    monkeypatch.setattr(write, "architecture_of", lambda config, family: forced)
    write_gguf(exported(model, tokenizer), tmp_path / "a.gguf", "F32")
    chosen = GPT(read_gguf(tmp_path / "a.gguf", wanted).config).eval()
    chosen.load_state_dict(model.state_dict())
    assert chosen.config.rope_factors[0] == (1.5 if original > wanted else 4)
    tokens = list(range(3, 303))
    expected = theirs(opened(tmp_path / "a.gguf"), tokens)
    np.testing.assert_allclose(ours(chosen, tokens), expected, **tolerance)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_every_kind_loads_and_says_about_the_same(tmp_path: Path, kind: str) -> None:
    tokenizer = byte_level("smollm")
    model = model_of("linear rope", tokenizer.vocab_size, emb_dim=64, ffn_dim=128, head_dim=16,
                     context_length=N_CONTEXT)  # fmt: skip
    write_gguf(exported(model, tokenizer), tmp_path / "a.gguf", kind)
    tokens = list(range(3, 103))
    difference = ours(model, tokens) - theirs(opened(tmp_path / "a.gguf"), tokens)
    bound = {"F": 0.02, "B": 0.05, "Q8": 0.05, "Q5": 0.2, "Q4": 0.35}
    allowed = next(share for start, share in bound.items() if kind.startswith(start))
    assert np.abs(difference).mean() < allowed * ours(model, tokens).std()


@pytest.mark.parametrize("name", [*PRE_TOKENIZERS, True, False])
def test_tokens_are_llama_cpps(tmp_path: Path, name: str | bool) -> None:
    tokenizer = tokenizer_of(name)
    model = model_of("mistral", tokenizer.vocab_size, n_layers=1)
    write_gguf(exported(model, tokenizer), tmp_path / "a.gguf", "F32")
    other = opened(tmp_path / "a.gguf", vocab_only=True)
    for text in [*TEXTS, *strange(400)]:
        text = unicodedata.normalize("NFC", text) if normalises(name) else text
        found = other.tokenize(text.encode("utf-8"), add_bos=False, special=False)
        assert found == tokenizer.encode(text), text


def normalises(name: str | bool) -> bool:
    return isinstance(name, str) and PRE_TOKENIZERS[name].normalizer is not None


def strange(count: int) -> list[str]:
    """Short texts of characters from all over Unicode, white space and digits above all."""
    ranges = [(32, 127), (0xA0, 0x250), (0x370, 0x590), (0x900, 0xA00), (0x2010, 0x2050),
              (0x3040, 0x3100), (0x4E00, 0x4F00), (0xAC00, 0xAD00), (0x1F300, 0x1F650)]  # fmt: skip
    pool = [chr(code) for first, last in ranges for code in range(first, last)]
    pool = [char for char in pool if unicodedata.category(char) != "Cn"] + list(" \n\t\r09'a") * 60
    choose = random.Random(0)
    return ["".join(choose.choices(pool, k=choose.randint(1, 30))) for _ in range(count)]


def test_texts_begin_and_end_where_we_say(tmp_path: Path) -> None:
    tokenizer = byte_level("llama-bpe", ("<|endoftext|>", "<|begin|>", "<|stop|>"))
    model = model_of("mistral", tokenizer.vocab_size, n_layers=1)
    given: list[dict[str, Any]] = [{}, {"start_token": 1, "stop_tokens": [2, 0]}]
    for generation in given:
        out = exported(model, tokenizer, generation=generation, chat_template="{{ 1 }}")
        write_gguf(out, tmp_path / "a.gguf", "F32")
        other = opened(tmp_path / "a.gguf")
        start = [generation["start_token"]] if generation else []
        assert other.tokenize(b"The queen", add_bos=True) == [
            *start,
            *tokenizer.encode("The queen"),
        ]
        assert other.token_eos() == (generation.get("stop_tokens") or [0])[0]
        assert other.metadata["tokenizer.chat_template"] == "{{ 1 }}"
        assert len(END_TOKENS) == 3


@pytest.mark.parametrize("name", ["smollm", True])
def test_ids_decode_to_the_text_that_llama_cpp_gives(tmp_path: Path, name: str | bool) -> None:
    tokenizer = tokenizer_of(name)
    model = model_of("mistral", tokenizer.vocab_size, n_layers=1)
    write_gguf(exported(model, tokenizer), tmp_path / "a.gguf", "F32")
    other = opened(tmp_path / "a.gguf", vocab_only=True)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        theirs = other.detokenize(ids).decode("utf-8")  # its tokens are never the first of a text
        stream = StreamDecoder(tokenizer, tokenizer.encode("x"))
        assert stream.feed(ids) + stream.flush() == theirs
        starts_with_space = name is True and text
        assert tokenizer.decode(ids) == (theirs.removeprefix(" ") if starts_with_space else theirs)
