"""llama2.c's files, written here after its published format, against transformers' Llama."""

from __future__ import annotations

import math
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from groundup.base.errors import GroundupError, RunError, TokenizerError, UsageError
from groundup.runs.load import load
from groundup.tokenizer import Tokenizer
from groundup.weights import import_model
from groundup.weights.formats import open_pretrained
from tests.weights.checkpoints.helpers import assert_same, opened, saved

DIM, HIDDEN, LAYERS, HEADS, KEYS, VOCABULARY, CONTEXT, GROUP = 32, 48, 2, 4, 2, 300, 24, 16
SIZES = (DIM, HIDDEN, LAYERS, HEADS, KEYS)
NORMS = ["attention_norm", "ffn_norm"]
QKVO = [f"attention.{name}" for name in ("wq", "wk", "wv", "wo")]
NETWORK = [f"feed_forward.{name}" for name in ("w1", "w2", "w3")]


def weights() -> dict[str, Tensor]:
    """Return random tensors under llama2.c's names."""
    generator = torch.Generator().manual_seed(0)
    of_keys = KEYS * DIM // HEADS
    shapes: dict[str, tuple[int, ...]] = {"tok_embeddings": (VOCABULARY, DIM), "norm": (DIM,)}
    shapes["output"] = (VOCABULARY, DIM)
    parts: list[tuple[int, ...]] = [(DIM,), (DIM,), (DIM, DIM), (of_keys, DIM), (of_keys, DIM)]
    parts += [(DIM, DIM), (HIDDEN, DIM), (DIM, HIDDEN), (HIDDEN, DIM)]
    for layer in range(LAYERS):
        names = [f"layers.{layer}.{name}" for name in (*NORMS, *QKVO, *NETWORK)]
        shapes |= dict(zip(names, parts, strict=True))
    return {f"{n}.weight": torch.randn(s, generator=generator) * 0.3 for n, s in shapes.items()}


def layers(found: dict[str, Tensor], *names: str) -> list[Tensor]:
    return [found[f"layers.{layer}.{name}.weight"] for name in names for layer in range(LAYERS)]


def plain(tensors: list[Tensor]) -> bytes:
    return b"".join(tensor.numpy().astype("<f4").tobytes() for tensor in tensors)


def quantised(tensor: Tensor) -> tuple[bytes, Tensor]:
    """Return a tensor in 8 bits, and the numbers that they stand for."""
    groups = tensor.reshape(-1, GROUP)
    scale = groups.abs().amax(1, keepdim=True) / 127
    steps = (groups / scale).round()
    raw = steps.to(torch.int8).numpy().tobytes() + plain([scale])
    return raw, (steps * scale).reshape(tensor.shape)


def legacy(found: dict[str, Tensor], shared: bool) -> bytes:
    vocabulary = VOCABULARY if shared else -VOCABULARY
    raw = struct.pack("<7i", *SIZES, vocabulary, CONTEXT) + plain([found["tok_embeddings.weight"]])
    raw += plain(layers(found, "attention_norm", *QKVO, "ffn_norm", *NETWORK))
    raw += plain([found["norm.weight"], torch.rand(2 * CONTEXT, DIM // HEADS // 2)])
    return raw if shared else raw + plain([found["output.weight"]])


def newer(found: dict[str, Tensor], shared: bool, version: int) -> bytes:
    """Return a file of version 1 or 2; `found` becomes what the bits of version 2 stand for."""
    raw = struct.pack("<Ii7iB", 0x616B3432, version, *SIZES, VOCABULARY, CONTEXT, shared)
    raw += struct.pack("<i", GROUP) if version == 2 else b""
    raw = raw.ljust(256, b"\0") + plain([*layers(found, *NORMS), found["norm.weight"]])
    names = ["tok_embeddings.weight"]
    names += [f"layers.{n}.{name}.weight" for name in (*QKVO, *NETWORK) for n in range(LAYERS)]
    for name in names if shared else [*names, "output.weight"]:
        if version == 1:
            raw += plain([found[name]])
        else:
            more, found[name] = quantised(found[name])
            raw += more
    return raw


def reference(found: dict[str, Tensor], shared: bool) -> LlamaForCausalLM:
    """Return the model in transformers, whose rotations turn the halves of a head."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=DIM,
        intermediate_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEYS,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=shared,
    )
    names = dict(zip(NORMS, ("input_layernorm", "post_attention_layernorm"), strict=True))
    for ours, theirs in zip(QKVO, "qkvo", strict=True):
        names[ours] = f"self_attn.{theirs}_proj"
    for ours, theirs in zip(NETWORK, ("gate", "down", "up"), strict=True):
        names[ours] = f"mlp.{theirs}_proj"
    state = {
        "model.embed_tokens.weight": found["tok_embeddings.weight"],
        "model.norm.weight": found["norm.weight"],
        "lm_head.weight": found["tok_embeddings.weight" if shared else "output.weight"],
    }
    for layer in range(LAYERS):
        for ours, theirs in names.items():
            tensor = found[f"layers.{layer}.{ours}.weight"]
            if ours in QKVO[:2]:
                pairs = tensor.view(-1, DIM // HEADS // 2, 2, DIM)
                tensor = pairs.transpose(1, 2).reshape(tensor.shape)
            state[f"model.layers.{layer}.{theirs}.weight"] = tensor
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_logits_are_those_of_llama(tmp_path: Path, version: int, shared: bool) -> None:
    found = weights()
    raw = newer(found, shared, version) if version else legacy(found, shared)
    (tmp_path / "model.bin").write_bytes(raw)
    read = open_pretrained(tmp_path / "model.bin", False)
    theirs = reference(found, shared)
    assert_same(read, lambda tokens: theirs(tokens).logits)
    assert read.config.tie_embeddings is shared


def test_its_checkpoint_of_training(tmp_path: Path) -> None:
    found = weights()
    del found["output.weight"]
    theirs = reference(found, shared=True)
    found["output.weight"] = found["tok_embeddings.weight"]
    arguments = {"dim": DIM, "n_layers": LAYERS, "n_heads": HEADS, "n_kv_heads": KEYS}
    arguments |= {"vocab_size": VOCABULARY, "multiple_of": 16, "max_seq_len": CONTEXT}
    content = {"model": {f"_orig_mod.{n}": t for n, t in found.items()}, "model_args": arguments}
    read = opened(saved(tmp_path, content, "ckpt.pt"))
    assert_same(read, lambda tokens: theirs(tokens).logits)
    with pytest.raises(RunError, match="weights as Meta publishes them"):
        opened(saved(tmp_path, found, "consolidated.00.pth"))


def header(*sizes: int, version: int = 1, shared: int = 1) -> bytes:
    return struct.pack("<Ii7iB", 0x616B3432, version, *sizes, shared).ljust(256, b"\0")


WRONG: list[tuple[bytes, str]] = [
    (legacy(weights(), True)[:-1], r"takes [\d,]+ bytes, but the file has"),
    (legacy(weights(), True) + b"\0", r"takes [\d,]+ bytes, but the file has"),
    (newer(weights(), True, 1)[:300], r"takes [\d,]+ bytes, but the file has 300"),
    (newer(weights(), True, 1)[:99], "ends within its header"),
    (header(*SIZES, VOCABULARY, CONTEXT, version=3), "version 3 of llama2.c's format"),
    (header(*SIZES, VOCABULARY, CONTEXT, version=2), "its header is that of no model"),
    (header(1 << 20, 1 << 20, 512, 1, 1, 1 << 24, 1), r"takes [\d,]+ bytes"),
    (header(1 << 30, 1 << 30, 1 << 30, 1, 1, 1, 1), "its header is that of no model"),
    (header(-1, 1, 1, 1, 1, 1, 1), "its header is that of no model"),
    (header(6, 1, 1, 4, 1, 1, 1), "its header is that of no model"),
    (header(8, 1, 1, 0, 1, 1, 1), "its header is that of no model"),
    (struct.pack("<7i", 0, 0, 0, 0, 0, 0, 0), "no model format that is known"),
    (b"", "no model format that is known"),
]


@pytest.mark.parametrize(("raw", "said"), WRONG)
def test_what_is_no_whole_file_is_refused(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "model.bin").write_bytes(raw)
    with pytest.raises(RunError, match=rf"model\.bin.*{said}"):
        open_pretrained(tmp_path / "model.bin", True)


def test_it_says_its_own_shape(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(legacy(weights(), True))
    with pytest.raises(UsageError, match=r"--set: .*model\.bin says its own shape"):
        opened(tmp_path / "model.bin", n_heads=4)


WORDS = ["▁", "e", "t", "a", "n", "▁t", "he", "▁the", "in", "er", "▁a", "at", "the", "▁in", "▁▁"]


def vocabulary() -> list[tuple[bytes, float]]:
    special = [(b"<unk>", 0.0), (b"\n<s>\n", 0.0), (b"\n</s>\n", 0.0)]
    of_bytes = [(f"<0x{byte:02X}>".encode(), 0.0) for byte in range(256)]
    words = [(word.replace("▁", " ").encode(), -float(n)) for n, word in enumerate(WORDS)]
    left = VOCABULARY - 259 - len(words)
    letters = [(chr(0x61 + n % 26).encode() * (n // 26 + 3), -100.0 - n) for n in range(left)]
    return special + of_bytes + words + letters


def packed(tokens: list[tuple[bytes, float]]) -> bytes:
    each = [struct.pack("<fI", score, len(word)) + word for word, score in tokens]
    return struct.pack("<I", max(len(word) for word, _ in tokens)) + b"".join(each)


def encoded(text: str, tokens: list[tuple[bytes, float]]) -> list[int]:
    """Encode as llama2.c's run.c does: by letters or bytes, then the best pair again and again."""
    ids = {word: n for n, (word, _) in enumerate(tokens)}
    found: list[int] = []
    for letter in " " + text if text else "":
        raw = letter.encode()
        found += [ids[raw]] if raw in ids else [byte + 3 for byte in raw]
    while True:
        best, place = -math.inf, -1
        for n in range(len(found) - 1):
            token = ids.get(tokens[found[n]][0] + tokens[found[n + 1]][0])
            if token is not None and tokens[token][1] > best:
                best, place = tokens[token][1], n
        if place < 0:
            return found
        pair = tokens[found[place]][0] + tokens[found[place + 1]][0]
        found[place : place + 2] = [ids[pair]]


def read_tokenizer(folder: Path, tokens: Any, name: str = "tokenizer.bin") -> Tokenizer | None:
    raw = tokens if isinstance(tokens, bytes) else packed(tokens)
    (folder / name).write_bytes(raw)
    (folder / "model.bin").write_bytes(legacy(weights(), True))
    return open_pretrained(folder / "model.bin", False).tokenizer


@pytest.mark.parametrize("name", ["tokenizer.bin", f"tok{VOCABULARY}.bin"])
def test_its_tokenizer_encodes_as_run_c_does(tmp_path: Path, name: str) -> None:
    tokens = vocabulary()
    tokenizer = read_tokenizer(tmp_path, tokens, name)
    assert tokenizer is not None
    chosen = random.Random(0)
    texts = ["".join(chosen.choices("thean rié\n", k=n)) for n in (1, 5, 40, 200)]
    for text in [*texts, "the  inner  heat ", ""]:
        assert tokenizer.encode(text) == encoded(text, tokens), text
        assert tokenizer.decode(tokenizer.encode(text)) == text


@torch.no_grad()
def test_it_becomes_a_run_whose_texts_begin_and_end_as_its_own(tmp_path: Path) -> None:
    read_tokenizer(tmp_path, vocabulary())
    done = import_model(tmp_path / "model.bin", tmp_path / "run")
    assert done.difference == 0
    run = load(tmp_path / "run")
    assert run.tokenizer.end_of_text == 1
    assert (run.generation["start_token"], run.generation["stop_tokens"]) == (1, [1, 2])


BROKEN: list[tuple[bytes, str]] = [
    (packed(vocabulary())[:-1], "token 299 ends beyond the file"),
    (packed(vocabulary()[:-1]), "it has 299 tokens, but the model 300"),
    (packed([*vocabulary(), (b"zz", 0.0)]), "it has more tokens than the 300 of the model"),
    (packed([*vocabulary()[:-1], (b"he", 0.0)]), "he stands twice in it"),
    (packed([*vocabulary()[:-1], (b"\xff", 0.0)]), "can't decode byte 0xff"),
    (packed([*vocabulary()[:-1], (b"zzzz", math.nan)]), "token 299 has the score nan"),
    (b"", "it has 0 tokens"),
]


@pytest.mark.parametrize(("raw", "said"), BROKEN)
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, raw: bytes, said: str) -> None:
    with pytest.raises(TokenizerError, match=rf"tokenizer\.bin: .*{said}"):
        read_tokenizer(tmp_path, raw)


def test_without_a_tokenizer_one_must_be_given(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(legacy(weights(), True))
    with pytest.raises(TokenizerError, match=r"put llama2\.c's tokenizer\.bin beside it"):
        import_model(tmp_path / "model.bin", tmp_path / "run")


def test_none_of_it_is_a_traceback(tmp_path: Path) -> None:
    """Every prefix of a file is refused with one line."""
    raw = newer(weights(), True, 2)
    for length in (1, 4, 7, 28, 40, 255, 256, 257, len(raw) - 1):
        (tmp_path / "model.bin").write_bytes(raw[:length])
        with pytest.raises(GroundupError):
            open_pretrained(tmp_path / "model.bin", False)
