"""The header of a GGUF file against the `gguf` package's, and every way in which it can lie."""

from __future__ import annotations

import contextlib
import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.base.errors import GroundupError, RunError
from groundup.weights.gguf.blocks import TYPES, encoded, read_values
from groundup.weights.gguf.header import read_header

SCALARS = {
    "uint8": 200,
    "int8": -3,
    "uint16": 60000,
    "int16": -30000,
    "uint32": 4_000_000_000,
    "int32": -2_000_000_000,
    "uint64": 1 << 63,
    "int64": -(1 << 62),
    "float32": 1e-05,
    "float64": 0.1,
    "bool": True,
    "string": "naïve 🙂",
}


def packed(kind: str, n_values: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Random bytes as blocks of `kind`, with scales that are small numbers."""
    random = np.random.default_rng(seed)
    values, size = TYPES[kind].values, TYPES[kind].size
    blocks = random.integers(0, 256, (n_values // values, size), dtype=np.uint8)
    if values == 1:
        return random.standard_normal(n_values * size // 2).astype(np.float16).view(np.uint8)
    scales = random.uniform(0.01, 1, (len(blocks), 2)).astype(np.float16).view(np.uint8)
    at = {"Q6_K": size - 2, "Q3_K": size - 2, "Q2_K": size - 4}.get(kind, 0)
    width = 4 if kind in ("Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K") else 2
    if kind != "MXFP4":  # there a byte is an exponent: any is a number
        blocks[:, at : at + width] = scales[:, :width]
    return blocks.reshape(-1)


def test_metadata_is_what_the_gguf_package_wrote(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "test")
    for kind, value in SCALARS.items():
        getattr(writer, f"add_{kind}")(f"a.{kind}", value)
    writer.add_array("a.texts", ["", "one", "zwölf"])
    writer.add_array("a.wholes", [3, -1, 2])
    writer.add_array("a.reals", [0.5, -2.25])
    writer.add_array("a.truths", [True, False])
    _close(writer)
    found = read_header(tmp_path / "a.gguf").metadata
    assert {key: found[f"a.{key}"] for key in SCALARS} == SCALARS
    assert all(type(found[f"a.{key}"]) is type(value) for key, value in SCALARS.items())
    assert found["a.texts"] == ["", "one", "zwölf"]
    lists = {key: found[f"a.{key}"].tolist() for key in ("wholes", "reals", "truths")}
    assert lists == {"wholes": [3, -1, 2], "reals": [0.5, -2.25], "truths": [True, False]}


@pytest.mark.parametrize("alignment", [32, 256])
def test_tensors_are_where_the_gguf_package_finds_them(tmp_path: Path, alignment: int) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "test")
    writer.add_custom_alignment(alignment)
    for n, shape in enumerate([(5,), (3, 7), (2, 3, 4), (2, 1, 2, 3)]):
        writer.add_tensor(f"t{n}", np.random.default_rng(n).random(shape, dtype=np.float32))
    _close(writer)
    header = read_header(tmp_path / "a.gguf")
    theirs = GGUFReader(tmp_path / "a.gguf").tensors
    assert list(header.tensors) == [tensor.name for tensor in theirs]
    for tensor in theirs:
        entry = header.tensors[tensor.name]
        assert (entry.offset, entry.size) == (tensor.data_offset, tensor.n_bytes)
        assert entry.shape == tensor.data.shape
        values = read_values(entry, 0, tensor.n_elements)
        assert np.array_equal(values.numpy(), tensor.data.reshape(-1))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("n_blocks", [1, 7, 129, 4200])
def test_blocks_decode_as_the_gguf_package_decodes_them(
    tmp_path: Path, kind: str, n_blocks: int
) -> None:
    n_values = n_blocks * TYPES[kind].values
    data = packed(kind, n_values)
    number = GGMLQuantizationType[kind]
    writer = GGUFWriter(tmp_path / "a.gguf", "test")
    writer.add_tensor("before", np.zeros(3, dtype=np.float32))
    writer.add_tensor("x", data.reshape(1, -1), raw_dtype=number)
    _close(writer)
    header = read_header(tmp_path / "a.gguf")
    entry = header.tensors["x"]
    assert (entry.kind, entry.shape, entry.size) == (kind, (1, n_values), len(data))
    whole = read_values(entry, 0, n_values)
    with np.errstate(over="ignore"):
        expected = quants.dequantize(data.reshape(n_blocks, -1), number).reshape(-1)
    assert np.array_equal(whole.float().numpy(), expected, equal_nan=True)
    first, count = n_blocks // 3 * TYPES[kind].values, TYPES[kind].values
    part = read_values(entry, first, count)
    assert torch.equal(part.view(torch.uint8), whole[first : first + count].view(torch.uint8))


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_values_encode_as_the_gguf_package_encodes_them(kind: str) -> None:
    values = torch.randn(3, 32 * 40000)  # more than one piece
    ours = np.concatenate(list(encoded(values, kind)))
    theirs = quants.quantize(values.numpy(), GGMLQuantizationType[kind])
    assert np.array_equal(ours, theirs.reshape(-1).view(np.uint8))


def _close(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def tensor(
    name: str = "t", dims: tuple[int, ...] = (8, 2), kind: int = 0, offset: int = 0
) -> bytes:
    shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


def whole(value: int) -> bytes:
    return struct.pack("<II", 4, value)


def blob(
    keys: list[tuple[str, bytes]] | None = None,
    tensors: list[bytes] | None = None,
    *,
    version: int = 3,
    n_tensors: int | None = None,
    n_keys: int | None = None,
    n_bytes: int = 256,
) -> bytes:
    keys = [("general.name", struct.pack("<I", 8) + text("x"))] if keys is None else keys
    tensors = [tensor()] if tensors is None else tensors
    counts = (
        len(tensors) if n_tensors is None else n_tensors,
        len(keys) if n_keys is None else n_keys,
    )
    front = b"GGUF" + struct.pack("<IQQ", version, *counts)
    front += b"".join(text(key) + value for key, value in keys) + b"".join(tensors)
    return front + bytes(-len(front) % 32) + bytes(n_bytes)


def array(kind: int, count: int, data: bytes = b"") -> bytes:
    return struct.pack("<IIQ", 9, kind, count) + data


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "something else": (b"PK\x03\x04" + bytes(100), "no GGUF file"),
    "only magic": (b"GGUF", "the version"),
    "version 1": (blob(version=1), "version: 1 is not known"),
    "big-endian": (blob(version=3 << 24), "big-endian"),
    "tensor bomb": (blob(n_tensors=1 << 60), "number of tensors"),
    "one tensor too many": (blob(n_tensors=2, n_bytes=0), "dimensions"),
    "key bomb": (blob(n_keys=1 << 40), "number of metadata"),
    "name bomb": (blob([("k", struct.pack("<IQ", 8, 1 << 62))]), "k: the file ends"),
    "array bomb": (blob([("k", array(4, 1 << 61))]), "k: an array of"),
    "text bomb": (blob([("k", array(8, 1 << 61))]), "k: an array of"),
    "a text in an array": (blob([("k", array(8, 1, struct.pack("<Q", 1 << 63)))]), "k: the file"),
    "nested array": (blob([("k", array(9, 1, array(4, 1)))]), "k: an array of type 9"),
    "unknown type": (blob([("k", struct.pack("<IQ", 77, 0))]), "k: type 77"),
    "key twice": (blob([("k", whole(1)), ("k", whole(2))]), "k: stands twice"),
    "not UTF-8": (blob([("k", struct.pack("<I", 8) + text(b"\xff\xfe"))]), "k: is not UTF-8"),
    "alignment 0": (blob([("general.alignment", whole(0))]), "alignment"),
    "alignment 48": (blob([("general.alignment", whole(48))]), "alignment"),
    "alignment bomb": (blob([("general.alignment", whole(1 << 31))]), "alignment"),
    "alignment text": (blob([("general.alignment", struct.pack("<I", 8) + text("32"))]), "align"),
    "no dimensions": (blob(tensors=[tensor(dims=())]), "0 dimensions"),
    "five dimensions": (blob(tensors=[tensor(dims=(1,) * 5)]), "5 dimensions"),
    "dimension bomb": (blob(tensors=[text("t") + struct.pack("<I", 1 << 31)]), "dimensions"),
    "no values": (blob(tensors=[tensor(dims=(8, 0))]), "has no values"),
    "value bomb": (blob(tensors=[tensor(dims=(1 << 63, 1 << 63, 1 << 63))]), "ends at byte"),
    "too large by one": (blob(tensors=[tensor(dims=(65,))]), "ends at byte"),
    "unknown kind": (blob(tensors=[tensor(kind=99)]), "type number 99 cannot be read"),
    "known by name": (
        blob(tensors=[tensor(dims=(256,), kind=21)]),
        "type IQ3_S cannot be read; fetch another variant",
    ),
    "broken rows": (blob(tensors=[tensor(dims=(33,), kind=8)]), "rows of 33 in Q8_0"),
    "not aligned": (blob(tensors=[tensor(offset=4)]), "offset 4 is not aligned"),
    "out of range": (blob(tensors=[tensor(offset=256)]), "ends at byte"),
    "far out of range": (blob(tensors=[tensor(offset=(1 << 64) - 32)]), "ends at byte"),
    "tensor twice": (blob(tensors=[tensor(), tensor(offset=64)]), "stands twice"),
    "overlapping": (blob(tensors=[tensor("a"), tensor("b", offset=32)]), "b: lies over tensor a"),
    "line breaks": (blob(tensors=[tensor("a\nb", kind=99)]), "a\\nb"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_lie_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    data, expected = BAD[name]
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(RunError) as caught:
        read_header(path)
    message = str(caught.value)
    assert expected in message
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 400


def test_the_good_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "good.gguf"
    path.write_bytes(blob(tensors=[tensor("a"), tensor("b", dims=(32, 1), kind=8, offset=64)]))
    header = read_header(path)
    assert [entry.shape for entry in header.tensors.values()] == [(2, 8), (1, 32)]


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = blob([("k", array(8, 2, text("a") + text("b"))), ("n", whole(3))], n_bytes=64)
    path = tmp_path / "cut.gguf"
    path.write_bytes(data)
    assert read_header(path).metadata["k"] == ["a", "b"]
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(RunError):
            read_header(path)


@settings(max_examples=300)
@given(st.data())
def test_any_change_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    changed = bytearray(blob([("k", array(8, 2, text("a") + text("b"))), ("n", whole(3))]))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, 150))] = data.draw(st.integers(0, 255))
    path.write_bytes(changed)
    assert "\n" not in refusal(path)


def refusal(path: Path) -> str:
    try:
        read_header(path)
    except GroundupError as error:
        return str(error)
    return ""


HUGE: dict[str, Callable[[], bytes]] = {
    "empty texts": lambda: blob([("k", array(8, 1 << 20))], n_bytes=0),
    "more texts than can be": lambda: blob([("k", array(8, 1 << 30))], n_bytes=0),
    "numbers": lambda: blob([("k", array(4, 1 << 33))], n_bytes=0),
    "a text": lambda: blob([("k", struct.pack("<IQ", 8, 1 << 35))], n_bytes=0),
    "keys": lambda: blob([], [], n_keys=65536, n_bytes=0),
    "tensors": lambda: blob([], [], n_tensors=65536, n_bytes=0),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_file_costs_neither_time_nor_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "huge.gguf"
    path.write_bytes(HUGE[name]())
    os.truncate(path, 1 << 38)  # zeros without end, that take no room on the disk
    tracemalloc.start()
    with contextlib.suppress(RunError):
        read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    begun = time.process_time()
    with contextlib.suppress(RunError):
        read_header(path)
    assert peak < 64 << 20
    assert time.process_time() - begun < 1


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(blob(tensors=[tensor(dims=(64,))]))
    header = read_header(path)
    os.truncate(path, path.stat().st_size - 10)
    with pytest.raises(RunError, match="became shorter"):
        read_values(header.tensors["t"], 0, 64)


def test_the_numbers_of_kinds_are_the_gguf_packages() -> None:
    for name, kind in TYPES.items():
        number = GGMLQuantizationType[name]
        assert (kind.number, (kind.values, kind.size)) == (number, gguf.GGML_QUANT_SIZES[number])
