"""Mutations of a file, each determined by a number: bytes that went astray, documents that lie."""

from __future__ import annotations

import copy
import json
import random
import tomllib
from collections.abc import Callable
from typing import Any

import tomli_w

Bytes = Callable[[bytes, random.Random], bytes]

STRANGE: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 1000, -(1 << 63), 1 << 24, 1 << 31, 1 << 40, 1 << 60,
    1 << 63, 1 << 64, 10**400, 0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, -1e300,
    float("nan"), float("inf"), -float("inf"), "", "x", " ", "0", "auto", "²", "F64", "I32",
    "../../run.toml", "/dev/zero", "a\nb\x1b[2J", "a\0b", "\ud800", "\U000f0000", "y" * 3000,
    "é" * 20_000, [], {}, [0], ["x"], [[]], {"x": 1}, [{}], [1, 2, 3], [1 << 60], [0, 1 << 60],
    [-1, -1],
]  # fmt: skip
RAW = [
    "[" * 900 + "]" * 900,
    "[" * 100_000,
    "[" * 50_000 + "]" * 50_000,
    '{"a":' * 50_000,
    "9" * 4000,
    "9" * 100_000,
    "-" * 1000,
    "1e999",
    "[" + "[]," * 20_000 + "[]]",
    "[" + "0," * 50_000 + "0]",
    '{"a": 1, "a": 2}',
    '"\\ud800"',
    "{" + "a." * 5000 + "a = 1}",
    "0xffffffffffffffffffffffff",
    "1979-05-27",
]
"""Text in the place of a value, which no writer would write."""
PLACEHOLDER, TWICE = "<raw {}>", "<twice>"
RUNS = (b"[", b"{", b'"', b"9", b"\xff", b"\0", b" ", b"\n", b"a.", b"[],", b'{"a":', b"-", b"\\")


def mutated(data: bytes, form: str, r: random.Random) -> bytes:
    """Return `data` with one to three mutations, of its bytes or of what they say.

    `form` is json, lines, toml, safetensors or bytes.
    """
    whole = FORMS[form] if r.random() < 0.7 else _mutate_bytes
    data = whole(data, r)
    return _mutate_bytes(data, r) if r.random() < 0.1 else data


def _mutate_bytes(data: bytes, r: random.Random) -> bytes:
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        data = r.choice(ON_BYTES)(data, r)
    return data


def _slice(data: bytes, r: random.Random) -> tuple[int, int]:
    begin = r.randrange(len(data) + 1)
    return begin, min(len(data), begin + int(r.paretovariate(0.5)))


def _flip(data: bytes, r: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(r.choice((1, 1, 2, 8))):
        changed[r.randrange(len(changed))] ^= 1 << r.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, r: random.Random) -> bytes:
    begin, end = _slice(data, r)
    return data[:begin] + r.randbytes(end - begin) + data[end:]


def _delete(data: bytes, r: random.Random) -> bytes:
    begin, end = _slice(data, r)
    return data[:begin] + data[end:]


def _insert(data: bytes, r: random.Random) -> bytes:
    at = r.randrange(len(data) + 1)
    return data[:at] + r.randbytes(r.choice((1, 2, 8, 300))) + data[at:]


def _truncate(data: bytes, r: random.Random) -> bytes:
    return data[: r.choice((r.randrange(len(data) + 1), r.randrange(20), len(data) - 1))]


def _repeat(data: bytes, r: random.Random) -> bytes:
    begin, end = _slice(data, r)
    return data[:end] + data[begin:end] * r.choice((1, 2, 50)) + data[end:]


def _swap(data: bytes, r: random.Random) -> bytes:
    a, b, c = sorted(r.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _run(data: bytes, r: random.Random) -> bytes:
    at = r.randrange(len(data) + 1)
    return data[:at] + r.choice(RUNS) * r.choice((3, 100, 5000, 50_000)) + data[at:]


def _number(data: bytes, r: random.Random) -> bytes:
    """Let eight bytes say how long something is: 64 bits, at the start or anywhere."""
    at = r.choice((0, r.randrange(len(data) + 1)))
    value = r.choice((0, 1, len(data), 1 << 20, 1 << 31, 1 << 40, 1 << 62, (1 << 64) - 1))
    return data[:at] + value.to_bytes(8, "little") + data[at + 8 :]


ON_BYTES: list[Bytes] = [
    _flip, _overwrite, _delete, _insert, _truncate, _repeat, _swap, _run, _number
]  # fmt: skip


def mutated_document(document: Any, r: random.Random) -> Any:
    """Return a copy of a document with one to three of its values, keys or lengths changed."""
    root = {"": copy.deepcopy(document)}
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        parents: list[Any] = []
        pending: list[Any] = [root]
        while pending:
            parents.append(node := pending.pop())
            values = node.values() if isinstance(node, dict) else node
            pending += [value for value in values if isinstance(value, dict | list) and value]
        parent = r.choice(parents if r.random() < 0.9 else [root])
        keys = list(parent) if isinstance(parent, dict) else range(len(parent))
        r.choice(ON_VALUES)(parent, r.choice(keys), r)
        root.setdefault("", {})
    return root[""]


def _strange(r: random.Random) -> Any:
    return copy.deepcopy(r.choice(STRANGE))  # other mutations may change it


def _replace(parent: Any, key: Any, r: random.Random) -> None:
    raw = r.random() < 0.2
    parent[key] = PLACEHOLDER.format(r.randrange(len(RAW))) if raw else _strange(r)


def _nudge(parent: Any, key: Any, r: random.Random) -> None:
    """Change a number, a text or a list a little."""
    value, other = parent[key], r.choice((1, 2, 8, 1000))
    if isinstance(value, bool):
        parent[key] = int(value)
    elif isinstance(value, int | float):
        parent[key] = r.choice((value + other, value - other, value * other, -value, value // 3))
    elif isinstance(value, str):
        parent[key] = r.choice((value[1:], value + value[-1:], value.upper(), value[::-1]))
    elif isinstance(value, list):
        parent[key] = r.choice((value[1:], value[:-1], value * 2, value[::-1], value * 100))


def _remove(parent: Any, key: Any, r: random.Random) -> None:
    del parent[key]


def _wrap(parent: Any, key: Any, r: random.Random) -> None:
    parent[key] = r.choice(([parent[key]], {"x": parent[key]}, str(parent[key])))


def _exchange(parent: Any, key: Any, r: random.Random) -> None:
    other = r.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    parent[key], parent[other] = parent[other], parent[key]


def _add(parent: Any, key: Any, r: random.Random) -> None:
    """Add a key, one that is there already or a strange one, or lengthen a list."""
    if isinstance(parent, list):
        parent[key:key] = [copy.deepcopy(parent[key])] * r.choice((1, 3, 100))
    else:
        name = r.choice((f"{key}{TWICE}", "", "x", "a\nb", f"{key} ", "y" * 3000, "\udcff"))
        parent[name] = copy.deepcopy(r.choice((parent[key], _strange(r))))


ON_VALUES = [_replace, _replace, _replace, _nudge, _nudge, _remove, _wrap, _exchange, _add]


def _with_raw(text: str) -> bytes:
    """Put raw text in its places; a key that is marked becomes one that stands twice."""
    for number, raw in enumerate(RAW):
        text = text.replace(f'"{PLACEHOLDER.format(number)}"', raw)
    return text.replace(TWICE, "").encode("utf-8", "surrogatepass")


def _mutate_json(data: bytes, r: random.Random) -> bytes:
    document = mutated_document(json.loads(data), r)
    return _with_raw(
        json.dumps(document, ensure_ascii=r.random() < 0.3, indent=r.choice((None, 1)))
    )


def _mutate_lines(data: bytes, r: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = r.randrange(len(lines))
    lines[at] = _mutate_json(lines[at], r).replace(b"\n", b" ") + b"\n"
    return b"".join(lines)


def _mutate_toml(data: bytes, r: random.Random) -> bytes:
    document = mutated_document(tomllib.loads(data.decode()), r)
    try:
        return _with_raw(tomli_w.dumps(document))
    except (TypeError, AttributeError, ValueError):  # TOML knows no null, and tables only outside
        return _mutate_bytes(data, r)


def _mutate_safetensors(data: bytes, r: random.Random) -> bytes:
    end = 8 + int.from_bytes(data[:8], "little")
    header = _mutate_json(data[8:end], r)
    length = len(header) + (r.random() < 0.05) * r.choice((1, -1, 8, 1 << 40))
    rest = data[end:] if r.random() < 0.9 else r.choice(ON_BYTES)(data[end:], r)
    return max(0, length).to_bytes(8, "little") + header + rest


FORMS: dict[str, Bytes] = {
    "json": _mutate_json,
    "lines": _mutate_lines,
    "toml": _mutate_toml,
    "safetensors": _mutate_safetensors,
    "bytes": _mutate_bytes,
}
