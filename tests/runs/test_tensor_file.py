"""Safetensors: byte for byte the library's, and nothing hostile gets in."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from groundup.base.errors import GroundupError, RunError
from groundup.runs.tensor_file import (
    DTYPES,
    LARGEST_HEADER,
    Stored,
    map_safetensors,
    read_safetensors,
    write_safetensors,
)


def some_tensors() -> dict[str, Tensor]:
    return {
        "b": torch.randn(3, 5),
        "a": torch.randn(7).half(),
        "deep": torch.randn(2, 3, 4, 5).bfloat16(),
        "wide": torch.randn(3).double(),
        "none": torch.randn(0, 4),
        "one": torch.tensor(3.5),
        "ids": torch.arange(-3, 4),
        "small": torch.arange(5, dtype=torch.int8),
        "mask": torch.tensor([True, False, True]),
        "naïve \\ \"名\"": torch.randn(2),
    }  # fmt: skip


def as_stored(tensors: dict[str, Tensor]) -> dict[str, Stored]:
    return {
        name: Stored(tuple(tensor.shape), tensor.dtype, tensor.clone)
        for name, tensor in tensors.items()
    }


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_written_as_the_library_writes(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    tensors = some_tensors()
    write_safetensors(tmp_path / "x", as_stored(tensors), metadata)
    assert (tmp_path / "x").read_bytes() == save(tensors, metadata)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_every_number_format_is_read_and_written(tmp_path: Path, dtype: torch.dtype) -> None:
    raw = torch.randint(2, (2, 3 * dtype.itemsize), dtype=torch.uint8).view(dtype)
    write_safetensors(tmp_path / "x", as_stored({"t": raw}))
    (stored,) = read_safetensors(tmp_path / "x").values()
    assert (stored.shape, stored.dtype) == ((2, 3), dtype)
    assert torch.equal(stored.read().view(torch.uint8), raw.view(torch.uint8))
    assert load((tmp_path / "x").read_bytes())["t"].dtype == dtype


def test_read_as_the_library_reads(tmp_path: Path) -> None:
    tensors = some_tensors()
    (tmp_path / "x").write_bytes(save(tensors, {"format": "pt"}))
    found = read_safetensors(tmp_path / "x")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (found[name].shape, found[name].dtype) == (tuple(tensor.shape), tensor.dtype)
        assert torch.equal(found[name].read(), tensor)


def test_numbers_that_lie_across_are_read_too(tmp_path: Path) -> None:
    entries = {"a": entry("U8", [3], 0, 3), "b": entry("F32", [2], 3, 11)}
    numbers = torch.tensor([1.5, -2.5])
    write(tmp_path / "x", entries, b"abc" + numbers.numpy().tobytes())
    assert torch.equal(read_safetensors(tmp_path / "x")["b"].read(), numbers)


def test_reading_maps_and_never_changes_the_file(tmp_path: Path) -> None:
    big = torch.randn(1 << 22)
    (tmp_path / "x").write_bytes(save({"t": big}))
    tracemalloc.start()
    tensor = read_safetensors(tmp_path / "x")["t"].read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < big.nbytes / 10
    tensor.zero_()
    assert torch.equal(read_safetensors(tmp_path / "x")["t"].read(), big)


def test_writing_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    alive = []

    def make() -> Tensor:
        alive.append(torch.zeros(10))
        assert sum(tensor is not None for tensor in alive) == 1
        return alive.pop()

    stored = {str(i): Stored((10,), torch.float32, make) for i in range(5)}
    write_safetensors(tmp_path / "x", stored)
    assert len(read_safetensors(tmp_path / "x")) == 5


def test_a_file_cut_short_after_it_was_checked(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(save({"t": torch.randn(5000)}))
    stored = read_safetensors(tmp_path / "x")["t"]
    with (tmp_path / "x").open("r+b") as file:
        file.truncate(900)
    with pytest.raises(RunError, match="fetch or export"):
        stored.read()


def test_an_absent_file_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="No such file"):
        read_safetensors(tmp_path / "none")


def entry(dtype: Any, shape: Any, begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write(path: Path, header: Any, data: bytes = b"") -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


GOOD = entry("F32", [2], 0, 8)
DATA = bytes(8)
HUGE = 1 << 62
# What is in the header, the bytes after it, and what is said of it.
HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "not an object": ([], DATA, "no JSON object"),
    "not JSON": (b"{oops", DATA, "expected JSON"),
    "no UTF-8": (b'{"\xff": 1}', DATA, "expected JSON"),
    "half a character": (b'{"\\ud800": 1}', DATA, "expected JSON"),
    "NaN": (b'{"t": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 8]}}', DATA, "NaN"),
    "infinity": (b'{"t": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 8]}}', DATA,
                 "1e999"),
    "number bomb": (b'{"t": ' + b"9" * 4_000_000 + b"}", DATA, "expected JSON"),
    "deep lists": (b'{"t":' + b"[" * 1_000_000, DATA, "expected JSON"),
    "deep objects": (b'{"t":' * 800_000, DATA, "expected JSON"),
    "a tensor twice": (b'{"t": ' + json.dumps(GOOD).encode() + b', "t": '
                       + json.dumps(GOOD).encode() + b"}", DATA, "stands twice"),
    "a key twice": (b'{"t": {"dtype": "F32", "dtype": "F16", "shape": [2],'
                    b' "data_offsets": [0, 8]}}', DATA, "stands twice"),
    "no object": ({"t": 3}, DATA, "expected dtype, shape"),
    "no offsets": ({"t": {"dtype": "F32", "shape": [2]}}, DATA, "expected dtype, shape"),
    "more keys": ({"t": {**GOOD, "x": 1}}, DATA, "nothing else"),
    "unknown dtype": ({"t": entry("F12", [2], 0, 8)}, DATA, "dtype F12 is not known"),
    "dtype no text": ({"t": entry(["F32"], [2], 0, 8)}, DATA, "is not known"),
    "shape no list": ({"t": entry("F32", 2, 0, 8)}, DATA, "shape 2"),
    "shape of bools": ({"t": entry("U8", [True] * 8, 0, 8)}, DATA, "shape"),
    "shape of floats": ({"t": entry("F32", [2.0], 0, 8)}, DATA, "shape"),
    "negative shape": ({"t": entry("F32", [-2, -1], 0, 8)}, DATA, "shape"),
    "many dimensions": ({"t": entry("U8", [1] * 99_999, 0, 1)}, b"x", "shape list of 99999"),
    "overflowing shape": ({"t": entry("F32", [HUGE, 4], 0, 0)}, b"", "takes"),
    "shape beyond 64 bits": ({"t": entry("F32", [1 << 70], 0, 8)}, DATA, "shape"),
    "wrong size": ({"t": entry("F64", [2], 0, 8)}, DATA, "hold 8 bytes, but shape"),
    "negative offset": ({"t": entry("F32", [2], -8, 0)}, DATA, "data_offsets"),
    "offsets swapped": ({"t": entry("F32", [2], 8, 0)}, DATA, "data_offsets"),
    "three offsets": ({"t": {**GOOD, "data_offsets": [0, 4, 8]}}, DATA, "data_offsets"),
    "offset a bool": ({"t": entry("U8", [1], False, True)}, b"x", "data_offsets"),
    "claims exabytes": ({"t": entry("U8", [HUGE], 0, HUGE)}, DATA, "there are 8 bytes"),
    "truncated": ({"t": GOOD}, DATA[:5], "ends at 8, but there are 5 bytes"),
    "trailing bytes": ({"t": GOOD}, DATA + b"x", "1 bytes belong to no tensor"),
    "overlapping": ({"a": GOOD, "b": entry("F32", [2], 4, 12)}, bytes(12), "overlaps"),
    "the same place": ({"a": GOOD, "b": GOOD}, DATA, "overlaps"),
    "a gap": ({"a": GOOD, "b": entry("F32", [2], 12, 20)}, bytes(20), "gap"),
    "late start": ({"a": entry("F32", [2], 4, 12)}, bytes(12), "gap"),
    "metadata no object": ({"__metadata__": [], "t": GOOD}, DATA, "__metadata__"),
    "metadata no texts": ({"__metadata__": {"a": 1}, "t": GOOD}, DATA, "__metadata__"),
    "a name like a page": ({"n" * 100_000: 1}, DATA, "tensor nnn"),
    "a name of many lines": ({"a\nb": 1}, DATA, "expected dtype"),
    "no end of tensors": (b'{' + b",".join(b'"%d":1' % i for i in range(300_000)) + b"}", DATA,
                          "expected dtype"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused_at_once(tmp_path: Path, name: str) -> None:
    header, data, said = HOSTILE[name]
    path = tmp_path / "evil.safetensors"
    write(path, header, data)
    begun = time.process_time()
    with pytest.raises(RunError) as error:
        read_safetensors(path)
    assert time.process_time() - begun < 1
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    "content",
    [b"", b"1234567", (1 << 63).to_bytes(8, "little") + b"{}", (3).to_bytes(8, "little") + b"{}",
     (LARGEST_HEADER + 1).to_bytes(8, "little") + bytes(LARGEST_HEADER + 1)],
    ids=["empty", "short", "exabytes", "one more than there are", "too large"],
)  # fmt: skip
def test_a_length_that_cannot_be_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(RunError, match=r"safetensors file|a header of"):
        read_safetensors(tmp_path / "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_large_header_is_read_within_a_second(tmp_path: Path) -> None:
    n_tensors = 20_000
    entries = {
        f"model.layers.{i}.mlp.experts.{i}.gate_proj.weight": entry("U8", [1], i, i + 1)
        for i in range(n_tensors)
    }
    write(tmp_path / "x", entries, bytes(n_tensors))
    begun = time.process_time()
    assert len(read_safetensors(tmp_path / "x")) == n_tensors
    assert time.process_time() - begun < 1


def test_a_mapping_has_every_tensor_and_holds_one_file_open(tmp_path: Path) -> None:
    tensors = some_tensors() | {str(i): torch.randn(3) for i in range(200)}
    (tmp_path / "x").write_bytes(save(tensors))
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    found = map_safetensors(tmp_path / "x")
    after = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    assert after - before <= 1
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
