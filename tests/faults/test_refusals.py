"""Files that once did harm: what hunts found, a case each."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from groundup.base.errors import ConfigError, GroundupError
from groundup.base.parse import parse_toml
from groundup.config import GPTConfig, TrainConfig, build
from groundup.runs import RunFolder
from groundup.runs.checkpoint import list_checkpoints
from groundup.runs.load import load
from tests.faults.hunt import PEAK, hunt
from tests.faults.targets import Target, genuine

Edit = Callable[[bytes], bytes]
Change = Callable[[Any], Any]
pytestmark = pytest.mark.skipif(not PEAK.exists(), reason="measures memory as Linux tells it")


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return genuine(tmp_path_factory.mktemp("genuine"))


def in_json(change: Change) -> Edit:
    def edit(data: bytes) -> bytes:
        document = json.loads(data)
        change(document)
        return json.dumps(document).encode()

    return edit


def in_toml(change: Change) -> Edit:
    def edit(data: bytes) -> bytes:
        tables = tomllib.loads(data.decode())
        change(tables)
        return tomli_w.dumps(tables).encode()

    return edit


def in_header(change: Change) -> Edit:
    def edit(data: bytes) -> bytes:
        end = 8 + int.from_bytes(data[:8], "little")
        header = in_json(change)(data[8:end])
        return len(header).to_bytes(8, "little") + header + data[end:]

    return edit


def into(*keys: Any, **values: Any) -> Change:
    """Change values of the table that is reached by the keys."""

    def change(document: Any) -> None:
        for key in keys:
            document = document[key]
        document.update(values)

    return change


def as_integers(header: dict[str, Any]) -> None:
    for entry in header.values():
        entry["dtype"] = "I32"


def without(*keys: Any) -> Change:
    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return change


def behind(**tensors: Any) -> Change:
    return lambda header: header.update(tensors)


DEEP = b'{"a":' + b"[" * 100_000
SHARD = ("splits", "train", "shards", 0)
EMPTY = {"dtype": "U8", "data_offsets": [0, 0]}
MANY = {f"{i:07}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}
CASES: dict[str, tuple[str, Edit]] = {
    "a million layers": ("run.toml", in_toml(into("model", n_layers=1 << 24))),
    "a million experts": (
        "run.toml",
        in_toml(into("model", n_experts=1 << 24, n_active_experts=2)),
    ),
    "a number of 400 digits": ("run.toml", in_toml(into("model", norm_eps=10**400))),
    "a number too long to be shown": (
        "run.toml",
        lambda data: data.replace(b"batch_size = 2", b"batch_size = 0x" + b"f" * 10_000),
    ),
    "a key of two lines": ("run.toml", in_toml(into("model", **{"a\nb": 1}))),
    "a value of a page": ("run.toml", in_toml(into("train", schedule="y" * 100_000))),
    "a table that is none": ("run.toml", in_toml(into(quantization=3))),
    "no fingerprint": ("run.toml", in_toml(without("data", "tokenizer_fingerprint"))),
    "a long dotted key": ("run.toml", lambda data: b"a." * 30_000 + b"a = 1\n" + data),
    "a long dotted key in braces": (
        "generation.toml",
        lambda data: data + b"x = {" + b"a." * 100_000 + b"a = 1}",
    ),
    "many dotted keys": (
        "run.toml",
        lambda data: data + b"[" + b"a." * 3000 + b"a]\n" + b"a = 1\n" * 3000,
    ),
    "deep TOML": ("generation.toml", lambda data: data + b"x = " + b"[" * 100_000),
    "a setting of a page": ("generation.toml", in_toml(into(stop_tokens="y" * 100_000))),
    "deep JSON": ("state.json", lambda data: DEEP),
    "a manifest that is deep": ("manifest.json", lambda data: DEEP),
    "a manifest with half a character": ("manifest.json", in_json(into(**{"\ud800": 1}))),
    "a size of many lines": (
        "manifest.json",
        in_json(into("files", "state.json", size="\n" * 100_000)),
    ),
    "a duty nobody knows": ("state.json", in_json(into(due=["exec"]))),
    "a step before the first": ("state.json", in_json(into(step=-1))),
    "sizes that are none": ("state.json", in_json(into(file_sizes=["metrics.jsonl"]))),
    "whole numbers as weights": ("model.safetensors", in_header(as_integers)),
    "a shape beyond 64 bits": (
        "trainer.safetensors",
        in_header(behind(x={**EMPTY, "shape": [0, (1 << 64) - 1]})),
    ),
    "a hundred thousand tensors": ("trainer.safetensors", in_header(behind(**MANY))),
    "a type that is an object": ("data manifest.json", in_json(into(dtype="O"))),
    "a shard elsewhere": ("data manifest.json", in_json(into(*SHARD, file="../../../story.txt"))),
    "a shard with a zero in its name": ("data manifest.json", in_json(into(*SHARD, file="a\0b"))),
    "a shard without a hash": ("data manifest.json", in_json(without(*SHARD, "sha256"))),
    "a shard of other tokens": (
        "data manifest.json",
        in_json(lambda m: (into(*SHARD, tokens=5)(m), into("splits", "train", tokens=5)(m))),
    ),
    "no fingerprint of data": ("data manifest.json", in_json(without("fingerprint"))),
    "no UTF-8": ("data manifest.json", lambda data: data + b"\xff"),
    "a token that crashes": (
        "unigram tokenizer.json",
        in_json(lambda d: d["model"]["vocab"].__setitem__(-1, ["é" * 200_000, -1.0])),
    ),
    "a token with a zero in it": (
        "bpe with more tokenizer.json",
        in_json(into("model", merges=["a\0b c"])),
    ),
    "an id of 4000 digits": (
        "bpe tokenizer.json",
        in_json(into("model", "vocab", he=10**4000)),
    ),
    "a deep config.toml": ("exported config.toml", lambda data: data + b"x = " + b"[" * 100_000),
    "a model that is no table": ("exported config.toml", in_toml(into(model="small"))),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_at_once_with_a_line(name: str, targets: dict[str, Target], tmp_path: Path) -> None:
    target, edit = CASES[name]
    content = edit(targets[target].file.read_bytes())
    found = json.loads(hunt(target, targets[target], iter([(name, content)]), tmp_path / "now"))
    assert not found["problems"]
    assert found["refused"]


def test_codes_without_a_word_of_them_are_loaded_as_such(targets: dict[str, Target]) -> None:
    target = targets["quantized run.toml"]
    content = in_toml(without("quantization"))(target.file.read_bytes())
    found = json.loads(hunt("x", target, iter([("", content)]), target.file.with_name("now")))
    assert not found["problems"]


def test_a_line_with_half_a_character_is_kept_as_it_is(targets: dict[str, Target]) -> None:
    target = targets["metrics.jsonl"]
    content = target.file.read_bytes() + b'{"step": 0, "a": "\\ud800"}\n'
    found = json.loads(hunt("x", target, iter([("", content)]), target.file.with_name("now")))
    assert not found["problems"]


def test_a_folder_that_is_named_almost_like_a_checkpoint(targets: dict[str, Target]) -> None:
    run = RunFolder(targets["run.toml"].file.parent)
    odd = run.checkpoints / "step-²"
    odd.mkdir()
    assert [c.step for c in list_checkpoints(run.checkpoints)] == [1, 2]
    odd.rmdir()
    with pytest.raises(GroundupError, match="expected best, latest or a step"):
        load(run.path, "²")


def test_the_nearest_divisor_of_a_large_number_is_found_at_once() -> None:
    begun = time.process_time()
    with pytest.raises(ConfigError, match="the nearest number that does is 1"):
        build(GPTConfig, {"emb_dim": 16_777_213, "n_heads": 12})
    assert time.process_time() - begun < 0.1


def test_a_config_that_is_no_table() -> None:
    with pytest.raises(ConfigError, match="TrainConfig = 3: expected a table"):
        build(TrainConfig, 3)  # type: ignore[arg-type]


def test_a_long_list_of_texts_is_read_whole() -> None:
    tables = {"sources": [f"../../texts/v1.2.3/book-{i}.utf-8.txt" for i in range(30_000)]}
    tables["command"] = " ".join(tables["sources"])  # type: ignore[assignment]
    begun = time.process_time()
    assert parse_toml(tomli_w.dumps(tables).encode()) == tables
    assert time.process_time() - begun < 2
