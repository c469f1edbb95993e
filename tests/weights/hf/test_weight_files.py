"""Folders of Hugging Face without safetensors in one file, and without a tokenizer.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, GPT2Tokenizer

from groundup.base.errors import RunError, TokenizerError, UsageError
from groundup.tokenizer.byte_level import BYTE_ORDER, BYTE_TO_CHAR
from groundup.weights.formats import open_pretrained
from groundup.weights.hf import read_hf
from groundup.weights.pretrained import Pretrained
from tests.weights.hf.models import saved


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    saved("gpt2", folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "gpt2"))


def taken(folder: Path) -> dict[str, Tensor]:
    """Take the tensors out of a folder."""
    found = {name: one.clone() for name, one in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    return found


def halves(found: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    names = sorted(found)
    return [{n: found[n] for n in part} for part in (names[::2], names[1::2])]


def assert_read(found: Pretrained, original: Path) -> None:
    expected = read_hf(original).tensors
    assert found.tensors.keys() == expected.keys()
    assert all(torch.equal(found.tensors[n].read(), expected[n].read()) for n in expected)


def test_a_pickle_with_leave(folder: Path, original: Path) -> None:
    torch.save(taken(folder), folder / "pytorch_model.bin")
    assert_read(read_hf(folder, trust_pickle=True), original)
    assert_read(open_pretrained(folder / "pytorch_model.bin", True), original)
    with pytest.raises(UsageError, match=r"pytorch_model\.bin is a pickle.*--trust-pickle"):
        read_hf(folder)
    (folder / "config.json").unlink()
    with pytest.raises(RunError, match=r"with its config\.json beside it"):
        open_pretrained(folder / "pytorch_model.bin", True)


def test_pickles_in_parts(folder: Path, original: Path) -> None:
    places: dict[str, str] = {}
    for n, part in enumerate(halves(taken(folder)), 1):
        name = f"pytorch_model-{n:05d}-of-00002.bin"
        torch.save(part, folder / name)
        places |= dict.fromkeys(part, name)
    assert_read(read_hf(folder, trust_pickle=True), original)  # without an index
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    assert_read(read_hf(folder, trust_pickle=True), original)
    index.write_text(json.dumps({"weight_map": places | {"a": "model.safetensors"}}))
    with pytest.raises(RunError, match=r"expected a \.bin file in the same folder"):
        read_hf(folder, trust_pickle=True)


def test_parts_without_an_index(folder: Path, original: Path) -> None:
    parts = halves(taken(folder))
    files = [folder / f"model-{n:05d}-of-00002.safetensors" for n in (1, 2)]
    for file, part in zip(files, parts, strict=True):
        save_file(part, file)
    assert_read(read_hf(folder), original)
    save_file(parts[0], files[1])
    with pytest.raises(RunError, match="is in another part, too"):
        read_hf(folder)
    files[1].unlink()
    with pytest.raises(RunError, match=r"model-00002-of-00002\.safetensors is missing, one of 2"):
        read_hf(folder)
    save_file(parts[1], folder / "model-00002-of-00003.safetensors")
    with pytest.raises(RunError, match=r"model-00002-of-00002\.safetensors is missing"):
        read_hf(folder)
    files[0].rename(folder / "model-99999-of-99999.safetensors")
    with pytest.raises(RunError, match="is missing, one of"):
        read_hf(folder)


WORDS = ["Ġ t", "h e", "Ġt he", "i n", "Ġ a", "e r", "Ġa n", "Ġ Ġ"]


def write_tokenizer(folder: Path, added: dict[str, int] | None = None, **config: Any) -> None:
    """Write vocab.json and merges.txt of 266 tokens, <|endoftext|> and </s> the last of them."""
    words = [BYTE_TO_CHAR[byte] for byte in BYTE_ORDER]
    words += [word.replace(" ", "") for word in WORDS] + ["<|endoftext|>", "</s>"]
    vocabulary = {word: n for n, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if added:
        (folder / "added_tokens.json").write_text(json.dumps(added))
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"vocab_size": 300}))
    weights = taken(folder)
    name = next(name for name in weights if name.endswith("wte.weight"))
    save_file(weights | {name: torch.randn(300, 36)}, folder / "model.safetensors")


CONFIGS: list[dict[str, Any]] = [
    {},
    {"tokenizer_class": "GPT2Tokenizer"},
    {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": True},
    {"tokenizer_class": "GPT2Tokenizer", "eos_token": "</s>", "bos_token": "</s>"},
]
TEXTS = ["the inn", " an the   then\n\nhe'll é", "in 1999 <|endoftext|> the", "a</s> b", ""]


@pytest.mark.parametrize("config", CONFIGS)
def test_vocab_and_merges_as_transformers_reads_them(folder: Path, config: dict[str, Any]) -> None:
    write_tokenizer(folder, **config)
    found = read_hf(folder)
    theirs = GPT2Tokenizer.from_pretrained(folder)
    assert found.tokenizer is not None
    for text in TEXTS:
        expected = theirs.encode(text, add_special_tokens=False)
        assert found.tokenizer.encode_markup(text) == expected, text
    assert set(found.tokenizer.special_tokens) == set(theirs.all_special_tokens)


def test_added_tokens_and_one_that_begins(folder: Path) -> None:
    config = {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "bos_token": "</s>"}
    write_tokenizer(folder, {"<tool>": 266}, **config)
    found = read_hf(folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert found.tokenizer is not None
    assert found.tokenizer.encode_markup("the <tool> in") == theirs.encode(
        "the <tool> in", add_special_tokens=False
    )
    assert found.generation["start_token"] == theirs.encode("the")[0] == 265


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"tokenizer_class": "Qwen2Tokenizer"}, "are of Qwen2Tokenizer, whose way to cut"),
        ({"tokenizer_class": 3}, "are of 3, whose way"),
    ],
)
def test_other_classes_are_refused_by_name(folder: Path, config: Any, said: str) -> None:
    write_tokenizer(folder, **config)
    with pytest.raises(TokenizerError, match=said):
        read_hf(folder)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("vocab.json", "[1]", "expected an object of tokens and ids"),
        ("vocab.json", '{"a": 0, "b": 0}', r"vocab\.json, merges\.txt: .*both have the id 0"),
        ("merges.txt", "a b\nc\n", "merge 2 is c, expected two tokens"),
        ("merges.txt", "zz yy\n", r"vocab\.json, merges\.txt"),
    ],
)
def test_damaged_ones_are_refused(folder: Path, name: str, content: str, said: str) -> None:
    write_tokenizer(folder)
    (folder / name).write_text(content)
    with pytest.raises(TokenizerError, match=said):
        read_hf(folder)
