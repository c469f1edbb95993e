"""Writing a split's shards so that a process killed at any moment costs one shard at most."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from groundup.base.errors import DataError, GroundupError
from groundup.base.files import atomic_writer, read_json, write_json
from groundup.data.portions import Unit, in_order
from groundup.data.tokens import FINISHED_SHARDS, SPLITS, Tokens
from groundup.tokenizer import Tokenizer


@dataclass
class FinishedShards:
    """What stands in the folder already: finished shards, and where the text goes on after each."""

    folder: Path
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> FinishedShards:
        """Read what an earlier attempt finished, as far as its shards are there; drop the rest."""
        finished = cls(folder, {split: {"shards": []} for split in SPLITS})
        path = folder / FINISHED_SHARDS
        if path.exists():
            try:
                finished.splits |= read_json(path)
                for entry in finished.splits.values():
                    _keep_whole(folder, entry)
            except (GroundupError, KeyError, TypeError, ValueError, AttributeError):  # begin anew
                finished.splits = {split: {"shards": []} for split in SPLITS}
        known = {s["file"] for entry in finished.splits.values() for s in entry["shards"]}
        found = (path for split in SPLITS for path in folder.glob(f"{split}-*.bin"))
        unfinished = folder.glob(".*")  # temporary names of files that were never renamed
        for path in [*found, *unfinished]:
            if path.name not in known:
                path.unlink()
        return finished

    def save(self) -> None:
        """Write down what stands."""
        write_json(self.folder / FINISHED_SHARDS, self.splits)


def _keep_whole(folder: Path, entry: dict[str, Any]) -> None:
    """Forget the first shard that is not whole, and all that follow."""
    shards = entry["shards"]
    for number, shard in enumerate(shards):
        path = folder / shard["file"]
        unit, token = shard["next"]
        if unit < 0 or token < 0 or not path.exists() or path.stat().st_size != shard["size"]:
            del shards[number:]
            entry.pop("done", None)
            return


class TokenStream:
    """Encoded units as one stream that is handed out in shards.

    `unit` and `token` say where it stands: at token `token` of unit `unit`.
    """

    def __init__(self, arrays: Iterator[Tokens], unit: int, token: int) -> None:
        self._arrays = arrays
        self._array: Tokens = np.empty(0, dtype=np.uint32)
        self.unit = unit - 1
        self.token = 0
        if token:
            self.more()
            self.token = token

    def more(self) -> bool:
        """Whether there is another token."""
        while self.token == len(self._array):
            array = next(self._arrays, None)
            if array is None:
                return False
            self._array, self.token = array, 0
            self.unit += 1
        return True

    def take(self, n: int) -> Iterator[Tokens]:
        """Yield arrays of `n` tokens in all, or of what is left."""
        while n and self.more():
            part = self._array[self.token : self.token + n]
            self.token += len(part)
            n -= len(part)
            yield part


@dataclass
class ShardWriter:
    """Encodes units in parallel and writes their tokens, in order, as shards."""

    finished: FinishedShards
    tokenizer: Tokenizer
    dtype: np.dtype[Any]
    shard_tokens: int
    pool: ThreadPoolExecutor
    ahead: int
    progress: Callable[[int], None]
    """Receives the bytes of text that have been encoded since it was last called."""

    def write(self, split: str, units: Iterable[Unit]) -> None:
        """Write what is still missing of a split, and its totals."""
        entry = self.finished.splits[split]
        if "done" in entry:
            self.progress(entry["done"]["bytes"])
            return
        shards = entry["shards"]
        unit, token = shards[-1]["next"] if shards else (0, 0)
        totals = {"tokens": 0, "bytes": 0, "documents": 0}
        stream = TokenStream(self._encoded(_counted(units, totals), unit), unit, token)
        while stream.more():
            shards.append(self._shard(f"{split}-{len(shards):05d}.bin", stream))
            self.finished.save()
        totals["tokens"] = sum(shard["tokens"] for shard in shards)
        entry["done"] = totals
        self.finished.save()

    def _encoded(self, units: Iterator[Unit], first: int) -> Iterator[Tokens]:
        """Yield the tokens of each unit from `first` on."""
        for unit in islice(units, first):
            self.progress(unit.n_bytes)
        for array, n_bytes in in_order(self.pool, self._encode, units, self.ahead):
            self.progress(n_bytes)
            yield array

    def _encode(self, unit: Unit) -> tuple[Tokens, int]:
        array = unit.encode(self.tokenizer)
        if array.size and (largest := int(array.max())) >= self.tokenizer.vocab_size:
            raise DataError(
                f"the tokenizer gave the id {largest}, but has only {self.tokenizer.vocab_size} "
                "ids; give a tokenizer.json that counts them all"
            )
        return array.astype(self.dtype), unit.n_bytes

    def _shard(self, name: str, stream: TokenStream) -> dict[str, Any]:
        digest = hashlib.sha256()
        tokens = 0
        with atomic_writer(self.finished.folder / name) as file:
            for array in stream.take(self.shard_tokens):
                file.write(array.data)
                digest.update(array.data)
                tokens += len(array)
        return {
            "file": name,
            "size": tokens * self.dtype.itemsize,
            "sha256": digest.hexdigest(),
            "tokens": tokens,
            "next": [stream.unit, stream.token],
        }


def _counted(units: Iterable[Unit], totals: dict[str, int]) -> Iterator[Unit]:
    """Pass `units` on and add up their bytes and documents; a part of a document counts as one."""
    ends = True
    for unit in units:
        totals["bytes"] += unit.n_bytes
        totals["documents"] += sum(ends for _, ends in unit.texts)
        ends = unit.texts[-1][1]
        yield unit
    totals["documents"] += not ends
